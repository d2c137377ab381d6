// The machine's atomics, clock and futex: what the ring runs on, outside a model checker.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <thread>

#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>
#endif

namespace reidkit {

using Time = int64_t;  // nanoseconds of the steady clock, which is Python's time.monotonic_ns
inline constexpr Time never = std::numeric_limits<Time>::max();

struct MachineAtomics {
    template <class T>
    using Atomic = std::atomic<T>;
    template <class T>
    using Plain = T;

    struct Futex : std::atomic<uint32_t> {
        using std::atomic<uint32_t>::atomic;

        // Until wake(), or `until`, or for no reason; at once if the value is another.
        void wait(uint32_t value, Time until) {
#ifdef __linux__
            const timespec at{static_cast<time_t>(until / 1'000'000'000), static_cast<long>(until % 1'000'000'000)};
            syscall(SYS_futex, this, FUTEX_WAIT_BITSET_PRIVATE, value, until == never ? nullptr : &at, nullptr,
                    FUTEX_BITSET_MATCH_ANY);
#else
            constexpr Time step = 500'000;
            if (load(std::memory_order_relaxed) == value)
                std::this_thread::sleep_for(std::chrono::nanoseconds(std::clamp<Time>(until - now(), 0, step)));
#endif
        }

        void wake() {
#ifdef __linux__
            syscall(SYS_futex, this, FUTEX_WAKE_PRIVATE, std::numeric_limits<int>::max(), nullptr, nullptr, 0);
#endif
        }
    };
    static_assert(sizeof(Futex) == sizeof(uint32_t) && Futex::is_always_lock_free);

    static Time now() {
        return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
            .count();
    }

    // One round of waiting without sleeping; false once that has gone on for long enough.
    static bool spin(int round) {
        if (round < 50) {
#if defined(__x86_64__)
            __builtin_ia32_pause();
#elif defined(__aarch64__)
            asm volatile("yield");
#endif
            return true;
        }
        if (round < 54) {
            std::this_thread::yield();
            return true;
        }
        return false;
    }
};

}  // namespace reidkit
