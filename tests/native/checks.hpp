// What the native tests share.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <random>

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                             \
        }                                                                             \
    } while (false)

inline std::mt19937 generator(20240501);

inline int between(int low, int high) { return std::uniform_int_distribution(low, high)(generator); }

inline bool coin() { return between(0, 1) == 1; }
