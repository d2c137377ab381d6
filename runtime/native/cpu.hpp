// Which instruction set the kernels use: the best this processor has, or the one that REIDKIT_CPU names.
//
// A kernel is written once, as an always-inline function in plain C++; compiled_for<kernel>(set) is a pointer to that
// function compiled for the set, whatever flags the compiler was given. Where a set can do better than the compiler,
// a file of its own (crop_kernels_SET.hpp) says how.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

#define REIDKIT_KERNEL [[gnu::always_inline]] inline
#ifdef __x86_64__
#ifdef __clang__  // which does not know it, and prefers what is wide anyway
#define REIDKIT_WIDE
#else
#define REIDKIT_WIDE ",prefer-vector-width=512"
#endif
#define REIDKIT_AVX2 [[gnu::target("avx2,f16c")]]
#define REIDKIT_AVX512 [[gnu::target("avx2,f16c,bmi2,avx512f,avx512bw,avx512dq,avx512vl,avx512vbmi" REIDKIT_WIDE)]]
#endif

namespace reidkit {

// In rising order. `scalar` is plain C++, which compilers turn into what the architecture guarantees (SSE2 or NEON);
// `neon` is what we write for that; `avx512` is what Ice Lake and Zen 4 brought, with byte permutations.
enum class InstructionSet { scalar, neon, avx2, avx512 };

constexpr InstructionSet instruction_sets[] = {InstructionSet::scalar, InstructionSet::neon, InstructionSet::avx2,
                                               InstructionSet::avx512};

constexpr const char* name_of(InstructionSet set) {
    constexpr const char* names[] = {"scalar", "neon", "avx2", "avx512"};
    return names[static_cast<int>(set)];
}

// Whether this processor has the set, and this build its kernels.
inline bool is_usable(InstructionSet set) {
    switch (set) {
        case InstructionSet::scalar:
            return true;
#ifdef __x86_64__
        case InstructionSet::avx2:
            return __builtin_cpu_supports("avx2");  // all that have it have f16c
        case InstructionSet::avx512:
            return is_usable(InstructionSet::avx2) && __builtin_cpu_supports("avx512vbmi") &&
                   __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("bmi2");
#endif
#ifdef __aarch64__
        case InstructionSet::neon:
            return true;
#endif
        default:
            return false;
    }
}

inline InstructionSet best_instruction_set() {
    InstructionSet best = InstructionSet::scalar;
    for (const InstructionSet set : instruction_sets)
        if (is_usable(set)) best = set;
    return best;
}

// The set REIDKIT_CPU asks for, else the best; asked once. Throws std::invalid_argument for a name that is unknown or
// a set that this processor lacks.
inline InstructionSet instruction_set() {
    static const InstructionSet chosen = [] {
        const char* asked = std::getenv("REIDKIT_CPU");
        if (asked == nullptr || *asked == '\0') return best_instruction_set();
        std::string usable;
        for (const InstructionSet set : instruction_sets) {
            if (!is_usable(set)) continue;
            if (std::string_view(asked) == name_of(set)) return set;
            usable += std::string(usable.empty() ? "" : ", ") + name_of(set);
        }
        throw std::invalid_argument(std::string("REIDKIT_CPU is ") + asked + ", this processor can use: " + usable);
    }();
    return chosen;
}

template <auto kernel>
struct Compiled;

template <class Result, class... Arguments, Result (*kernel)(Arguments...)>
struct Compiled<kernel> {
    static Result scalar(Arguments... arguments) { return kernel(arguments...); }
#ifdef __x86_64__
    REIDKIT_AVX2 static Result avx2(Arguments... arguments) { return kernel(arguments...); }
    REIDKIT_AVX512 static Result avx512(Arguments... arguments) { return kernel(arguments...); }
#endif
};

template <auto kernel>
constexpr auto compiled_for([[maybe_unused]] InstructionSet set) {
#ifdef __x86_64__
    if (set == InstructionSet::avx512) return &Compiled<kernel>::avx512;
    if (set == InstructionSet::avx2) return &Compiled<kernel>::avx2;
#endif
    return &Compiled<kernel>::scalar;
}

}  // namespace reidkit
