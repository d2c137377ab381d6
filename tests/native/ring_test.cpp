// The ring on real threads, which stall, die, cancel and push one another out:  ring_test [SECONDS]
//
// Every row carries canaries, so that ThreadSanitizer or the consumer sees two users of one row. At the end of a round
// all that was reserved has been delivered or voided, and nobody has allocated.
#include "ring.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <random>
#include <thread>
#include <vector>

using namespace reidkit;

static thread_local int allocations = 0;

void* operator new(size_t size) {
    ++allocations;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            std::printf("%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition); \
            std::exit(1);                                                             \
        }                                                                             \
    } while (false)

namespace {

using Ring = BatchRing<MachineAtomics>;
constexpr unsigned producers = 4, buffers = 4, rows = 6, killed = 2;
constexpr Time millisecond = 1'000'000;

struct Row {
    std::array<uint64_t, 24> canaries;
};

struct Random {
    std::minstd_rand generator;

    unsigned below(unsigned limit) { return static_cast<unsigned>(generator()) % limit; }

    // Often nothing, sometimes another thread's turn, seldom a stall.
    void stall() {
        const unsigned kind = below(2000);
        if (kind == 0) std::this_thread::sleep_for(std::chrono::microseconds(below(3000)));
        if (kind < 20) std::this_thread::yield();
    }
};

struct Round {
    Ring ring{buffers, rows, millisecond / 10, ~uint64_t(0) - 20};
    std::vector<Row> memory = std::vector<Row>(buffers * rows);
    std::atomic<uint64_t> committed{0}, recaptured{0}, received{0}, batches{0};
    std::atomic<bool> stop{false};

    Row& row(unsigned buffer, unsigned index) { return memory[buffer * rows + index]; }

    static uint64_t canary(uint64_t ticket, uint32_t index) { return ticket * 1'000'003 + index; }

    void write(const Claim& claim, uint64_t ticket, uint32_t index, Random& random) {
        for (unsigned i = 0; i < claim.count; ++i) {
            auto& canaries = row(claim.buffer, claim.first + i).canaries;
            std::fill(canaries.begin(), canaries.begin() + 12, canary(ticket, index + i));
            random.stall();
            std::fill(canaries.begin() + 12, canaries.end(), canary(ticket, index + i));
        }
    }

    void submit(uint32_t camera, Random& random) {
        const uint64_t ticket = ring.issue();
        const unsigned wanted = 1 + random.below(2 * rows), policy = random.below(3);
        for (uint32_t index = 0; index < wanted;) {
            Claim claim = policy == 0 ? ring.reserve(wanted - index, MachineAtomics::now() + 20 * millisecond)
                                      : ring.reserve(wanted - index);
            if (claim.count == 0 && policy == 1) {
                claim = ring.recapture_oldest(camera, ticket, wanted - index);
                recaptured.fetch_add(claim.count, std::memory_order_relaxed);
            }
            if (claim.count == 0) return;
            if (random.below(50) == 0) {
                ring.abandon(claim);
            } else {
                write(claim, ticket, index, random);
                random.stall();
                const Time deadline = MachineAtomics::now() + random.below(3) * millisecond / 20;
                if (ring.commit(claim, {ticket, camera, index, deadline}))
                    committed.fetch_add(claim.count, std::memory_order_relaxed);
            }
            index += claim.count;
        }
        if (random.below(20) == 0) {
            for (Claim claim; (claim = ring.recapture_ticket(ticket, rows)).count > 0;) {
                recaptured.fetch_add(claim.count, std::memory_order_relaxed);
                write(claim, 0, 0, random);
                ring.abandon(claim);
            }
        }
    }

    void produce(uint32_t camera, unsigned seed) {
        Random random{std::minstd_rand(seed)};
        const int before = allocations;
        while (!stop.load(std::memory_order_relaxed)) submit(camera, random);
        if (camera < killed) write(ring.reserve(2), 0, 0, random);  // and is never heard of again
        CHECK(allocations == before);
    }

    void consume(unsigned seed) {
        Random random{std::minstd_rand(seed)};
        const int before = allocations;
        for (Batch batch; (batch = ring.next()).buffer >= 0;) {
            const auto buffer = static_cast<unsigned>(batch.buffer);
            const auto check = [&] {
                for (unsigned i = 0; i < rows; ++i) {
                    if (!(batch.rows >> i & 1)) continue;
                    const Label label = ring.label(buffer, i);
                    for (const uint64_t found : row(buffer, i).canaries)
                        CHECK(found == canary(label.ticket, label.index));
                }
            };
            check();
            random.stall();
            if (random.below(300) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random.below(4)));
            check();
            received.fetch_add(static_cast<uint64_t>(std::popcount(batch.rows)), std::memory_order_relaxed);
            batches.fetch_add(1, std::memory_order_relaxed);
            ring.release(buffer);
        }
        CHECK(allocations == before);
    }

    void run(unsigned seed) {
        std::vector<std::thread> threads;
        for (uint32_t camera = 0; camera < producers; ++camera)
            threads.emplace_back([=, this] { produce(camera, seed * 100 + camera + 1); });
        std::thread consumer([=, this] { consume(seed + 1); });
        std::this_thread::sleep_for(std::chrono::milliseconds(200));
        stop = true;
        if (seed % 2) ring.close(MachineAtomics::now() + 20 * millisecond);  // in the midst of it, or afterwards
        for (auto& thread : threads) thread.join();
        ring.close(MachineAtomics::now() + 20 * millisecond);
        consumer.join();
        const RingCounters counters = ring.counters();
        CHECK(counters.reserved == counters.delivered + counters.voided);
        CHECK(counters.delivered == received && counters.batches == batches);
        CHECK(committed == received + recaptured);
        CHECK(ring.is_drained() && ring.reserve(1).count == 0);
    }
};

// What a stalled producer costs: its rows and one buffer, until it leaves.
void a_straggler_keeps_its_buffer_out_of_use() {
    Ring ring(2, 2, 0);
    const Claim straggler = ring.reserve(1);
    CHECK(ring.commit(ring.reserve(1), {1, 0, 0, 0}));
    const Batch batch = ring.seal(1);
    CHECK(batch.buffer == 0 && batch.rows == 2);
    ring.release(0);
    CHECK(ring.reserve(9).buffer == 1);
    CHECK(ring.reserve(1).count == 0);
    CHECK(!ring.commit(straggler, {2, 0, 0, 0}));
    CHECK(ring.reserve(9).count == 2);
}

void a_batch_waits_for_the_full_or_the_deadline_then_for_the_patience() {
    Ring ring(2, 3, 10);
    const Claim slow = ring.reserve(1);
    CHECK(ring.commit(ring.reserve(1), {1, 0, 0, 100}));
    CHECK(ring.seal(99).due == 100);
    CHECK(ring.seal(100).due == 110);          // shut: nobody joins any more
    CHECK(ring.reserve(1).buffer == 1);        //
    CHECK(ring.commit(slow, {2, 0, 0, 105}));  // in time, because it was waited for
    CHECK(ring.seal(101).rows == 3);
}

void closing_and_opening_again() {
    Ring ring(1, 2, 0);
    CHECK(ring.commit(ring.reserve(1), {1, 0, 0, never}));
    ring.close(0);
    CHECK(ring.reserve(1).count == 0 && !ring.is_drained());
    CHECK(ring.next().rows == 1);
    ring.release(0);
    CHECK(ring.next().buffer < 0);
    ring.reopen();
    CHECK(ring.reserve(2).count == 2);
}

}  // namespace

int main(int count, char** words) {
    const double seconds = count > 1 ? std::atof(words[1]) : 1;
    a_straggler_keeps_its_buffer_out_of_use();
    a_batch_waits_for_the_full_or_the_deadline_then_for_the_patience();
    closing_and_opening_again();
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    uint64_t rounds = 0, reserved = 0, delivered = 0, batches = 0;
    for (; rounds == 0 || std::chrono::steady_clock::now() < end; ++rounds) {
        Round round;
        round.run(static_cast<unsigned>(rounds));
        reserved += round.ring.counters().reserved;
        delivered += round.ring.counters().delivered;
        batches += round.ring.counters().batches;
    }
    std::printf("%llu rounds: %llu rows reserved, %llu delivered in %llu batches, the others voided\n",
                static_cast<unsigned long long>(rounds), static_cast<unsigned long long>(reserved),
                static_cast<unsigned long long>(delivered), static_cast<unsigned long long>(batches));
}
