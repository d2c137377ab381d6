// What the ring stands on under the model checker: Relacy's atomics, which try every order of operations and every
// value that the C++ memory model lets a load return; and orders and words that can be made wrong, one at a time.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <cstdint>
#include <memory>

#include "ring.hpp"

// Relacy's parts rather than relacy.hpp, whose macros would redefine new, free and std::memory_order.
#include <relacy/base.hpp>
// clang-format off: they depend on this order
#include <relacy/context.hpp>
#include <relacy/context_base_impl.hpp>
#include <relacy/backoff.hpp>
#include <relacy/atomic_fence.hpp>
#include <relacy/atomic.hpp>
#include <relacy/var.hpp>
#include <relacy/test_suite.hpp>
#include <relacy/stdlib/mutex.hpp>
#include <relacy/stdlib/condition_variable.hpp>
#include <relacy/stdlib/semaphore.hpp>
#include <relacy/stdlib/event.hpp>
// clang-format on

namespace model {

using reidkit::BatchWord;
using reidkit::BellOrders;
using reidkit::RingOrders;
using reidkit::Time;

// A compare-exchange of this order compares nothing.
inline constexpr auto blind = static_cast<std::memory_order>(77);

inline rl::memory_order checked(std::memory_order order) {
    switch (order) {
        case std::memory_order_relaxed:
            return rl::mo_relaxed;
        case std::memory_order_acquire:
            return rl::mo_acquire;
        case std::memory_order_release:
            return rl::mo_release;
        default:
            return rl::mo_acq_rel;
    }
}

template <class T>
class Atomic {
  public:
    Atomic(T value) { value_.store(value, rl::mo_relaxed, $); }

    T load(std::memory_order order) const { return value_.load(checked(order), $); }
    void store(T value, std::memory_order order) { value_.store(value, checked(order), $); }
    T fetch_add(T value, std::memory_order order) { return value_.fetch_add(value, checked(order), $); }
    T fetch_sub(T value, std::memory_order order) { return value_.fetch_sub(value, checked(order), $); }
    T fetch_or(T value, std::memory_order order) { return value_.fetch_or(value, checked(order), $); }
    T fetch_and(T value, std::memory_order order) { return value_.fetch_and(value, checked(order), $); }

    bool compare_exchange_weak(T& expected, T desired, std::memory_order order, std::memory_order) {
        if (order == blind) {
            value_.store(desired, rl::mo_release, $);
            return true;
        }
        return value_.compare_exchange_weak(expected, desired, checked(order), $);
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order order, std::memory_order) {
        return value_.compare_exchange_strong(expected, desired, checked(order), $);
    }

  private:
    mutable rl::atomic<T> value_;
};

template <class T>
class Plain {
  public:
    Plain(T value = {}) { value_($) = value; }
    operator T() const { return value_($); }
    Plain& operator=(T value) {
        value_($) = value;
        return *this;
    }

  private:
    mutable rl::var<T> value_;
};

// The kernel compares and goes to sleep under a lock that wakers take too.
class Futex : public Atomic<uint32_t> {
  public:
    using Atomic<uint32_t>::Atomic;

    void wait(uint32_t value, Time) {
        lock_.lock($);
        if (load(std::memory_order_relaxed) == value) changed_.wait(lock_, $);
        lock_.unlock($);
    }
    void wake() {
        if (!wakes) return;
        lock_.lock($);
        changed_.notify_all($);
        lock_.unlock($);
    }

    static inline bool wakes = true;

  private:
    rl::mutex lock_;
    rl::condition_variable changed_;
};

struct Atomics {
    template <class T>
    using Atomic = model::Atomic<T>;
    template <class T>
    using Plain = model::Plain<T>;
    using Futex = model::Futex;

    static Time now() { return 0; }
    static bool spin(int) { return false; }
};

struct Orders {
    static inline auto leave = RingOrders::leave, scan = RingOrders::scan, look = RingOrders::look,
                       release = RingOrders::release, reserve = RingOrders::reserve, seal = RingOrders::seal,
                       recapture = RingOrders::recapture, free = RingOrders::free, plain = RingOrders::plain;
};

struct Chimes {
    static inline auto ring = BellOrders::ring, listen = BellOrders::listen, count_sleeper = BellOrders::count_sleeper;
};

struct Word : BatchWord {
    static inline bool waits_for_stragglers = true, counts_versions = true, keeps_sealed = true, heeds_closing = true,
                       compares_around_zero = true;

    static unsigned room(uint64_t word, unsigned rows) {
        return BatchWord::room(heeds_closing ? word : word & ~closed, rows);
    }
    static uint64_t with_sealed(uint64_t word) { return keeps_sealed ? BatchWord::with_sealed(word) : word; }
    static uint64_t recaptured(uint64_t word, uint64_t rows) {
        return BatchWord::recaptured(word, rows) - (counts_versions ? 0 : next_version);
    }
    static bool done(uint64_t word) { return waits_for_stragglers ? BatchWord::done(word) : (word & released) != 0; }
    static bool older(uint64_t ticket, uint64_t other) {
        return compares_around_zero ? BatchWord::older(ticket, other) : ticket < other;
    }
};

using Ring = reidkit::BatchRing<Atomics, Orders, Word, Chimes>;

}  // namespace model
