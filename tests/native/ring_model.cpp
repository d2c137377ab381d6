// The ring under Relacy's model checker:  ring_model [--random N] [--bound N] [--mutants] [--only NAME]
//
// Every scenario checks that a row's memory has one user at a time (Relacy reports any two that are not ordered), that
// each row is delivered with what its producer wrote or void, never both, and that nobody waits for ever. With
// --mutants the ring is made wrong in one place after the other, and the scenarios have to find each.
#include "ring_model.hpp"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iostream>
#include <string>
#include <vector>

using namespace model;
using reidkit::Batch;
using reidkit::Claim;
using reidkit::Label;
using reidkit::never;

namespace {

constexpr unsigned most_buffers = 2, most_rows = 2;

// So that all schedules with few switches can be tried: producers submit once, and nobody waits.
bool brief = false;

int repeats(int often) { return brief ? 1 : often; }

// A ring, the memory its rows stand for, and who finds what in it.
template <class Derived, int threads>
struct Scenario : rl::test_suite<Derived, threads> {
    Ring ring;
    Plain<uint64_t> memory[most_buffers][most_rows];
    Atomic<int> working;  // producers that have not ended
    Atomic<int> committed{0}, received{0};

    Scenario(unsigned buffers, unsigned rows, int producers, Time patience = 0, uint64_t first_ticket = 0)
        : ring(buffers, rows, patience, first_ticket), working(producers) {}

    void write(const Claim& claim, uint64_t ticket) {
        for (unsigned i = 0; i < claim.count; ++i) memory[claim.buffer][claim.first + i] = ticket * 100 + i;
    }

    bool fill(const Claim& claim, uint64_t ticket, uint32_t camera = 0) {
        if (claim.count == 0) return false;
        write(claim, ticket);
        const bool in_time = ring.commit(claim, {ticket, camera, 0, 0});
        if (in_time) committed.fetch_add(int(claim.count), std::memory_order_relaxed);
        return in_time;
    }

    // A producer's way: wait for room, write, commit. Whether it was in time.
    bool submit(uint32_t camera = 0, unsigned rows = 1) {
        const uint64_t ticket = ring.issue();
        return fill(brief ? ring.reserve(rows) : ring.reserve(rows, never), ticket, camera);
    }

    void end() {
        if (!brief && working.fetch_sub(1, std::memory_order_acq_rel) == 1) ring.close(0);
    }

    void consume(const Batch& batch) {
        for (unsigned row = 0; row < most_rows; ++row) {
            if (!(batch.rows >> row & 1)) continue;
            const Label label = ring.label(unsigned(batch.buffer), row);
            RL_ASSERT(memory[batch.buffer][row] == label.ticket * 100 + label.index);
            received.fetch_add(1, std::memory_order_relaxed);
        }
        ring.release(unsigned(batch.buffer));
    }

    void serve() {
        const auto next = [this] { return brief ? ring.seal(0) : ring.next(); };
        for (Batch batch; (batch = next()).buffer >= 0;) consume(batch);
    }

    void after() {
        ring.close(0);
        serve();
        const auto counters = ring.counters();
        RL_ASSERT(counters.reserved == counters.delivered + counters.voided);
        RL_ASSERT(int(counters.delivered) == received.load(std::memory_order_relaxed));
        RL_ASSERT(ring.is_drained());
    }
};

struct OneProducer : Scenario<OneProducer, 2> {
    OneProducer() : Scenario(2, 1, 1) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        for (int i = 0; i < repeats(3); ++i) submit();
        end();
    }
    void after() {
        Scenario::after();
        RL_ASSERT(received.load(std::memory_order_relaxed) == repeats(3));
    }
};

struct TwoProducers : Scenario<TwoProducers, 3> {
    TwoProducers() : Scenario(2, 2, 2) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        for (int i = 0; i < repeats(2); ++i) submit(index);
        end();
    }
};

// One row for two who want it twice: who finds no room sleeps until it is released.
struct Full : Scenario<Full, 3> {
    Full() : Scenario(1, 1, 2) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        for (int i = 0; i < repeats(2); ++i) RL_ASSERT(submit(index) || brief);
        end();
    }
    void after() {
        Scenario::after();
        RL_ASSERT(received.load(std::memory_order_relaxed) == (brief ? committed.load(std::memory_order_relaxed) : 4));
    }
};

// A ring that is closed before or while somebody sleeps at it.
struct Empty : Scenario<Empty, 2> {
    Empty() : Scenario(1, 1, 1) {}
    void thread(unsigned index) {
        if (index == 0) RL_ASSERT(ring.next().buffer < 0);
        if (index == 1) ring.close(0);
    }
};

// All is overdue once one row is committed, so the batch is sealed while the other producer writes; the buffer is
// wanted again at once.
struct LateCommit : Scenario<LateCommit, 3> {
    LateCommit() : Scenario(1, 2, 2) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        submit(index);
        if (index == 1 && !brief) submit(index);
        end();
    }
    void after() {
        Scenario::after();
        RL_ASSERT(committed.load(std::memory_order_relaxed) == received.load(std::memory_order_relaxed));
    }
};

// The same with patience: nobody who goes on writing loses a row.
struct Patience : Scenario<Patience, 3> {
    Patience() : Scenario(1, 2, 2, 1) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        RL_ASSERT(submit(index) || brief);
        if (index == 1 && !brief) RL_ASSERT(submit(index));
        if (!brief && working.fetch_sub(1, std::memory_order_acq_rel) == 1) ring.close(never);
    }
};

// A producer reserves and is never heard of again.
struct Killed : Scenario<Killed, 3> {
    Killed() : Scenario(2, 2, 2) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        if (index == 1) write(ring.reserve(1, never), 7);
        for (int i = 0; index == 2 && i < repeats(2); ++i) submit(index);
        end();
    }
    void after() {
        Scenario::after();
        RL_ASSERT(committed.load(std::memory_order_relaxed) == received.load(std::memory_order_relaxed));
        RL_ASSERT(ring.counters().voided >= 1);
    }
};

// Closing while two submit: what was committed is served, what was not is void, and nobody gets in afterwards.
struct Closing : Scenario<Closing, 3> {
    Closing() : Scenario(1, 2, 1) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        if (index == 1) return ring.close(0);
        fill(ring.reserve(1), ring.issue());
        fill(ring.reserve(1), ring.issue());
    }
    void after() {
        Scenario::after();
        RL_ASSERT(committed.load(std::memory_order_relaxed) == received.load(std::memory_order_relaxed));
        RL_ASSERT(ring.reserve(1).count == 0);
    }
};

// Rows are given up by one thread while another would serve them.
struct Cancel : Scenario<Cancel, 3> {
    Atomic<int> cancelled{0};

    Cancel() : Scenario(1, 2, 2) {}
    void thread(unsigned index) {
        if (index == 0) return serve();
        if (index == 1) submit(1, 2);
        if (index == 2) {
            const Claim claim = ring.recapture_ticket(0, 2);
            if (claim.count > 0) {
                write(claim, 9);
                ring.abandon(claim);
            }
            cancelled.store(int(claim.count), std::memory_order_relaxed);
        }
        end();
    }
    void after() {
        Scenario::after();
        const int given_up = cancelled.load(std::memory_order_relaxed);
        RL_ASSERT(received.load(std::memory_order_relaxed) + given_up == committed.load(std::memory_order_relaxed));
    }
};

// Two younger tickets of a camera want the row of an older one, with the numbers wrapping between them. Nobody serves
// until they are done, so that one row is left in the end: the youngest's.
struct DropOldest : Scenario<DropOldest, 2> {
    DropOldest() : Scenario(1, 2, 2, 0, ~uint64_t(0)) {
        for (int i = 0; i < 2; ++i) fill(ring.reserve(1), ring.issue(), 5);  // tickets -1 and 0
    }
    void thread(unsigned index) {
        const uint64_t ticket = 1 + index;
        for (Claim claim = ring.recapture_oldest(5, ticket, 1); claim.count > 0;
             claim = ring.recapture_oldest(5, ticket, 1)) {
            RL_ASSERT(Word::BatchWord::older(ring.label(claim.buffer, claim.first).ticket, ticket));
            if (fill(claim, ticket, 5)) break;
        }
    }
    void after() {
        ring.close(0);
        const Batch batch = ring.seal(0);
        RL_ASSERT(batch.rows == 3);
        uint64_t sum = 0;
        for (unsigned row = 0; row < 2; ++row) sum += ring.label(0, row).ticket;
        RL_ASSERT(sum == 3);  // the two old ones are gone, or the youngest took the row of the one before it
        consume(batch);
        Scenario::after();
    }
};

// The same against a consumer that seals: it must not take a batch whose rows were taken back since it looked.
struct DropWhileSealing : Scenario<DropWhileSealing, 3> {
    DropWhileSealing() : Scenario(1, 1, 2, 0, ~uint64_t(0)) { fill(ring.reserve(1), ring.issue(), 5); }
    void thread(unsigned index) {
        if (index == 0) return serve();
        const uint64_t ticket = ring.issue();
        fill(ring.recapture_oldest(5, ticket, 1), ticket, 5);
        end();
    }
};

struct Check {
    const char* name;
    std::function<bool(rl::test_params&)> run;
};

template <class S>
Check check(const char* name) {
    return {name, [](rl::test_params& params) { return rl::simulate<S>(params); }};
}

const std::vector<Check> checks = {
    check<OneProducer>("one producer"),
    check<TwoProducers>("two producers"),
    check<Full>("full"),
    check<Empty>("empty"),
    check<LateCommit>("late commit"),
    check<Patience>("patience"),
    check<Killed>("killed producer"),
    check<Closing>("closing"),
    check<Cancel>("cancel"),
    check<DropOldest>("drop oldest, numbers wrapping"),
    check<DropWhileSealing>("drop oldest while sealing"),
};

// Something made wrong while this lives.
struct Mutant {
    const char* name;
    std::function<void(bool)> make_wrong;
};

template <class T>
Mutant mutant(const char* name, T& where, T wrong) {
    return {name, [&where, right = where, wrong](bool on) { where = on ? wrong : right; }};
}

std::vector<Mutant> mutants() {
    constexpr auto relaxed = std::memory_order_relaxed;
    return {
        mutant("leave releases nothing", Orders::leave, relaxed),
        mutant("scan acquires nothing", Orders::scan, relaxed),
        mutant("look acquires nothing", Orders::look, relaxed),
        mutant("release releases nothing", Orders::release, relaxed),
        mutant("reserve acquires nothing", Orders::reserve, relaxed),
        mutant("seal compares nothing", Orders::seal, blind),
        mutant("reserve compares nothing", Orders::reserve, blind),
        mutant("recapture compares nothing", Orders::recapture, blind),
        mutant("ring releases nothing", Chimes::ring, relaxed),
        mutant("listen acquires nothing", Chimes::listen, relaxed),
        mutant("a ring wakes nobody", Futex::wakes, false),
        mutant("a buffer is used again before its stragglers left", Word::waits_for_stragglers, false),
        mutant("a recapture leaves no trace", Word::counts_versions, false),
        mutant("a sealed batch looks open", Word::keeps_sealed, false),
        mutant("closing closes nothing", Word::heeds_closing, false),
        mutant("tickets are compared as plain numbers", Word::compares_around_zero, false),
    };
}

// Schedules tried, at random and then all with few switches between threads (0: none of these).
struct Effort {
    unsigned random = 1000, bound = 0;
};

bool holds(const Check& check, const Effort& effort, std::ostream& out, uint64_t& schedules) {
    const auto search = [&](rl::scheduler_type_e kind, unsigned iterations, unsigned bound) {
        rl::test_params params;
        params.search_type = kind;
        params.iteration_count = iterations;
        params.context_bound = bound;
        params.execution_depth_limit = 4000;
        std::ostream silent(nullptr);
        params.progress_stream = &silent;
        params.output_stream = &out;
        const bool good = check.run(params);
        schedules += params.stop_iteration;
        return good;
    };
    brief = false;
    if (effort.random > 0 && !search(rl::random_scheduler_type, effort.random, 0)) return false;
    brief = true;
    return effort.bound == 0 || search(rl::fair_context_bound_scheduler_type, 1u << 30, effort.bound);
}

}  // namespace

int main(int count, char** words) {
    Effort effort;
    bool with_mutants = false;
    std::string only;
    for (int i = 1; i < count; ++i) {
        const std::string word = words[i];
        const bool valued = i + 1 < count;
        if (word == "--mutants") {
            with_mutants = true;
        } else if (word == "--random" && valued) {
            effort.random = unsigned(std::atoi(words[++i]));
        } else if (word == "--bound" && valued) {
            effort.bound = unsigned(std::atoi(words[++i]));
        } else if (word == "--only" && valued) {
            only = words[++i];
        } else {
            std::printf("usage: ring_model [--random N] [--bound N] [--mutants] [--only NAME]\n");
            return 2;
        }
    }
    bool good = true;
    if (with_mutants) {
        for (const Mutant& mutant : mutants()) {
            if (!only.empty() && only != mutant.name) continue;
            mutant.make_wrong(true);
            std::string found_by;
            for (const Check& check : checks) {
                std::ostream silent(nullptr);  // Relacy allocates as it prints, so a string stream will not do
                uint64_t schedules = 0;
                if (holds(check, effort, silent, schedules)) continue;
                found_by = std::string(check.name) + ", schedule " + std::to_string(schedules + 1);
                break;
            }
            mutant.make_wrong(false);
            good &= !found_by.empty();
            std::printf("%-50s %s\n", mutant.name, found_by.empty() ? "SURVIVES" : ("found by " + found_by).c_str());
            std::fflush(stdout);
        }
        return good ? 0 : 1;
    }
    for (const Check& check : checks) {
        if (!only.empty() && only != check.name) continue;
        uint64_t schedules = 0;
        const bool held = holds(check, effort, std::cout, schedules);
        good &= held;
        std::printf("%-32s %s, %llu schedules\n", check.name, held ? "holds" : "FAILS",
                    static_cast<unsigned long long>(schedules));
        std::fflush(stdout);
    }
    return good ? 0 : 1;
}
