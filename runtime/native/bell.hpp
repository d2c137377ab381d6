// Sleeping until somebody has news: an event count in one futex word.
//
//     sleeper: heard = listen(); look for work; none? sleep(heard)        producer of work: publish it; ring()
//
// A ring between listen and sleep is not missed: it changes the word, so sleep returns at once. Sleepers and rings are
// counted in the same word, so who rings knows whether anybody sleeps without a store-load pair, and makes a system
// call only then.
#pragma once

#include <atomic>
#include <cstdint>

#include "waiting.hpp"

namespace reidkit {

struct BellOrders {
    // A ring that was heard makes what was published before it visible.
    static constexpr auto ring = std::memory_order_release;    // to listen
    static constexpr auto listen = std::memory_order_acquire;  // from ring
    // The counting of sleepers publishes nothing; being a read-modify-write it passes on what rings released.
    static constexpr auto count_sleeper = std::memory_order_relaxed;
};

template <class Atomics, class Orders = BellOrders>
class Bell {
  public:
    uint32_t listen() const { return word_.load(Orders::listen); }

    void ring() {
        if (word_.fetch_add(one_ring, Orders::ring) % one_ring != 0) word_.wake();
    }

    // Until there is a ring after the `listen` that returned `heard`, or `until`, or for no reason.
    void sleep(uint32_t heard, Time until) {
        if (!word_.compare_exchange_strong(heard, heard + 1, Orders::count_sleeper, Orders::count_sleeper)) return;
        word_.wait(heard + 1, until);
        word_.fetch_sub(1, Orders::count_sleeper);
    }

    // Spins, yields, then sleeps until ready() or `until`; whether it was ready. What `until` returns may change with
    // every call of ready().
    template <class Ready, class Until>
    bool await(Ready ready, Until until) {
        for (int round = 0;; ++round) {
            const uint32_t heard = listen();
            if (ready()) return true;
            if (Atomics::now() >= until()) return false;
            if (!Atomics::spin(round)) sleep(heard, until());
        }
    }

  private:
    static constexpr uint32_t one_ring = 1 << 12;  // below: up to 4095 sleepers

    typename Atomics::Futex word_{0};
};

}  // namespace reidkit
