// Which instruction set the kernels use: the best this processor has, or the one that REIDKIT_CPU names.
#pragma once

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>

// A function marked so is compiled for that instruction set whatever the compiler's flags are; the always-inline
// bodies it calls are compiled with it. `scalar` is what the architecture guarantees (SSE2 on x86-64, NEON on aarch64).
#if defined(__x86_64__)
#define REIDKIT_X86 1
#define REIDKIT_AVX2 [[gnu::target("avx2")]]
#define REIDKIT_AVX512 [[gnu::target("avx2,avx512f,avx512bw,avx512dq,avx512vl,prefer-vector-width=512")]]
#endif
#define REIDKIT_INLINE [[gnu::always_inline]] inline

namespace reidkit {

enum class InstructionSet { scalar, avx2, avx512 };

inline const char* name_of(InstructionSet set) {
    switch (set) {
        case InstructionSet::avx2:
            return "avx2";
        case InstructionSet::avx512:
            return "avx512";
        default:
            return "scalar";
    }
}

inline InstructionSet best_instruction_set() {
#ifdef REIDKIT_X86
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return InstructionSet::avx512;
    if (__builtin_cpu_supports("avx2")) return InstructionSet::avx2;
#endif
    return InstructionSet::scalar;
}

// What REIDKIT_CPU asks for, else the best. Throws std::runtime_error for an unknown name or a set this processor lacks.
inline InstructionSet choose_instruction_set() {
    const InstructionSet best = best_instruction_set();
    const char* asked = std::getenv("REIDKIT_CPU");
    if (asked == nullptr || *asked == '\0') return best;
    for (auto set : {InstructionSet::scalar, InstructionSet::avx2, InstructionSet::avx512}) {
        if (std::string_view(asked) != name_of(set)) continue;
        if (set <= best) return set;
        throw std::runtime_error(std::string("REIDKIT_CPU=") + asked + ", but this processor has only " +
                                 name_of(best));
    }
    throw std::runtime_error(std::string("REIDKIT_CPU=") + asked + " is unknown: scalar, avx2 or avx512");
}

// The set in use, chosen once.
inline InstructionSet instruction_set() {
    static const InstructionSet chosen = choose_instruction_set();
    return chosen;
}

}  // namespace reidkit
