// Many producers fill the rows of batch buffers, one consumer takes the batches: without locks, copies or allocations.
//
// The ring deals in row numbers; the memory of the rows is the caller's. Each buffer has one atomic word with all that
// has to be agreed on, so every step is one read-modify-write:
//
//     free ──reserve──► filling ──► shut ──► sealed ──release──► free        all rows have left
//                       │  ▲                  │                   ▲
//                leave ─┘  └─ recapture       └─release──► quarantine ── the last straggler leaves
//
// Invariants, stalled producers, wrap-around: docs/decisions/015-how-crops-are-batched.md. The same header runs under
// the model checker (tests/native/ring_model.cpp), with other Atomics, and with orders and words that are wrong on
// purpose.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "bell.hpp"
#include "waiting.hpp"

namespace reidkit {

// The order of every operation on a buffer's word, and its partner. A word is never stored to, so each read sees all
// that was released on it before, whoever changed it since.
struct RingOrders {
    static constexpr auto leave = std::memory_order_release;    // pixels and labels of rows, to scan, look and reserve
    static constexpr auto scan = std::memory_order_acquire;     // the consumer, from leave
    static constexpr auto look = std::memory_order_acquire;     // recapture, from leave
    static constexpr auto release = std::memory_order_release;  // the consumer has read the rows, to reserve
    static constexpr auto reserve = std::memory_order_acquire;  // the rows' last users, from release and leave
    // Shut, seal and recapture succeed only on the word that scan or look acquired; freeing follows a change of its
    // own. Labels and counters are ordered by the words; closing is rung for.
    static constexpr auto seal = std::memory_order_relaxed;
    static constexpr auto recapture = std::memory_order_relaxed;
    static constexpr auto free = std::memory_order_relaxed;
    static constexpr auto plain = std::memory_order_relaxed;
};

// What a buffer's word says:  version 42-63 | closed 41 | released 40 | sealed 39 | shut 38 | reserved 32-37 | left
// 0-31.
struct BatchWord {
    static constexpr unsigned max_rows = 32;
    static constexpr uint64_t shut = uint64_t(1) << 38, sealed = shut << 1, released = shut << 2, closed = shut << 3,
                              next_version = shut << 4;

    static uint64_t mask(unsigned first, unsigned count) { return ((uint64_t(1) << count) - 1) << first; }
    static uint64_t left(uint64_t word) { return word & 0xffff'ffff; }
    static unsigned reserved(uint64_t word) { return word >> 32 & 63; }
    static bool complete(uint64_t word) { return left(word) == mask(0, reserved(word)); }
    static unsigned room(uint64_t word, unsigned rows) {
        return word & (shut | sealed | closed) ? 0 : rows - reserved(word);
    }

    static uint64_t with_reserved(uint64_t word, unsigned count) { return word + (uint64_t(count) << 32); }
    static uint64_t with_sealed(uint64_t word) { return word | sealed; }
    static uint64_t recaptured(uint64_t word, uint64_t rows) { return (word & ~rows) + next_version; }
    // Whether nobody has any business with the buffer any more.
    static bool done(uint64_t word) { return (word & released) && complete(word); }
    // To be added to a word that is done, so that it is free; the closed bit may change meanwhile.
    static uint64_t freeing(uint64_t word) { return next_version - (word & (next_version - 1) & ~closed); }

    static bool older(uint64_t ticket, uint64_t other) { return static_cast<int64_t>(ticket - other) < 0; }
};

// Rows of one buffer that one producer holds; none if count is 0.
struct Claim {
    unsigned buffer = 0, first = 0, count = 0;
};

inline constexpr uint32_t nobody = ~uint32_t(0);

// What a claim's rows are for: boxes index, index + 1 … of a ticket, wanted by a deadline.
struct Label {
    uint64_t ticket = 0;
    uint32_t camera = nobody, index = 0;
    Time deadline = never;
};

// A sealed buffer; `rows` has the bits of those that were committed. Without a batch, when there may be one.
struct Batch {
    int buffer = -1;
    uint64_t rows = 0;
    Time due = never;
};

struct RingCounters {
    uint64_t reserved, delivered, voided, batches;
};

template <class Atomics, class Orders = RingOrders, class Word = BatchWord, class Chimes = BellOrders>
class BatchRing {
  public:
    // A batch is shut at the deadline of its oldest row, and waits so long for rows that are still being written.
    BatchRing(unsigned buffers, unsigned rows, Time patience, uint64_t first_ticket = 0)
        : buffers_(buffers),
          rows_(rows),
          patience_(patience),
          line_(std::make_unique<Buffer[]>(buffers)),
          next_ticket_(first_ticket) {
        for (unsigned i = 0; i < buffers; ++i) line_[i].rows = std::make_unique<Row[]>(rows);
    }

    // A number for what one producer brings at once; later ones are younger.
    uint64_t issue() { return next_ticket_.fetch_add(1, Orders::plain); }

    // Producers. Up to so many rows, to be written and then committed or abandoned; none if there is no room or the
    // ring is closed. Lock-free.
    Claim reserve(unsigned wanted) {
        for (const bool begun : {true, false})  // a batch that has begun comes first
            for (unsigned i = 0; i < buffers_; ++i) {
                uint64_t word = line_[i].word.load(Orders::plain);
                while (const unsigned room = Word::room(word, rows_)) {
                    if (begun && Word::reserved(word) == 0) break;
                    const Claim claim{i, Word::reserved(word), std::min(wanted, room)};
                    if (line_[i].word.compare_exchange_weak(word, Word::with_reserved(word, claim.count),
                                                            Orders::reserve, Orders::plain)) {
                        reserved_.fetch_add(claim.count, Orders::plain);
                        return claim;
                    }
                }
            }
        return {};
    }

    // As reserve, but waits for room; none at `until` or when the ring is closed.
    Claim reserve(unsigned wanted, Time until) {
        Claim claim;
        const auto settled = [&] { return (claim = reserve(wanted)).count > 0 || is_closed(); };
        room_.await(settled, [=] { return until; });
        return claim;
    }

    // The rows are written. False if the batch was sealed without them: they are void.
    bool commit(const Claim& claim, const Label& label) {
        for (unsigned i = 0; i < claim.count; ++i) {
            Row& row = line_[claim.buffer].rows[claim.first + i];
            row.ticket.store(label.ticket, Orders::plain);
            row.camera.store(label.camera, Orders::plain);
            row.deadline.store(label.deadline, Orders::plain);
            row.index = label.index + i;
        }
        return leave(claim);
    }

    // The rows will not be written: they are void.
    void abandon(const Claim& claim) { commit(claim, Label{}); }

    // Takes rows back that wait in a batch not sealed yet: of the camera's oldest ticket that is older than the
    // caller's, or of that very ticket. They are the caller's as if just reserved, and void to the tickets in their
    // labels.
    Claim recapture_oldest(uint32_t camera, uint64_t ticket, unsigned wanted) {
        return recapture(wanted, [=](const Row& row) {
            return row.camera.load(Orders::plain) == camera && Word::older(row.ticket.load(Orders::plain), ticket);
        });
    }
    Claim recapture_ticket(uint64_t ticket, unsigned wanted) {
        return recapture(wanted, [=](const Row& row) {
            return row.camera.load(Orders::plain) != nobody && row.ticket.load(Orders::plain) == ticket;
        });
    }

    // The consumer. Seals the batch that is due first, if one is; `now` may be `never` to take whatever was committed.
    Batch seal(Time now) {
        for (;;) {
            unsigned chosen = 0;
            uint64_t found = 0;
            Time best = never, due = never;
            bool any = false;
            for (unsigned i = 0; i < buffers_; ++i) {
                const uint64_t word = line_[i].word.load(Orders::scan);
                const Time oldest = oldest_deadline(i, word), next_step = next_step_at(word, oldest);
                due = std::min(due, next_step);
                if (next_step > now || next_step == never || (any && oldest >= best)) continue;
                any = true;
                chosen = i;
                found = word;
                best = oldest;
            }
            if (!any) return {-1, 0, due};
            const bool ripe = is_shut(found) || Word::complete(found) || best < now - patience_;
            const uint64_t next = ripe ? Word::with_sealed(found) : found | Word::shut;
            if (line_[chosen].word.compare_exchange_weak(found, next, Orders::seal, Orders::plain) && ripe)
                return sealed(chosen, found);
        }
    }

    // As seal, but waits for a batch; none when the ring is closed and drained.
    Batch next() {
        Batch batch;
        const auto settled = [&] { return (batch = seal(Atomics::now())).buffer >= 0 || is_drained(); };
        while (!work_.await(settled, [&] { return batch.due; })) continue;
        return batch;
    }

    // The consumer has read the batch. Its buffer is free, or will be when the last straggler has left.
    void release(unsigned buffer) {
        const uint64_t before = line_[buffer].word.fetch_or(Word::released, Orders::release);
        free_if_done(buffer, before | Word::released);
    }

    // What a row was committed for: to be asked by who holds it, after seal or recapture.
    Label label(unsigned buffer, unsigned row) const {
        const Row& held = line_[buffer].rows[row];
        return {held.ticket.load(Orders::plain), held.camera.load(Orders::plain), held.index,
                held.deadline.load(Orders::plain)};
    }

    // No more reservations. What is reserved is waited for until `drain_until`; what was committed is served.
    void close(Time drain_until) {
        drain_until_.store(drain_until, Orders::plain);
        for (unsigned i = 0; i < buffers_; ++i) line_[i].word.fetch_or(Word::closed, Orders::plain);
        work_.ring();
        room_.ring();
    }

    // After close and drain, once no consumer is in `next`: open again. Buffers of stragglers stay in quarantine.
    void reopen() {
        for (unsigned i = 0; i < buffers_; ++i) line_[i].word.fetch_and(~Word::closed, Orders::plain);
    }

    bool is_closed() const { return line_[0].word.load(Orders::plain) & Word::closed; }

    // Closed, and no batch is to come.
    bool is_drained() const {
        for (unsigned i = 0; i < buffers_; ++i) {
            const uint64_t word = line_[i].word.load(Orders::plain);
            if (!(word & Word::closed) || (Word::reserved(word) > 0 && !(word & Word::released))) return false;
        }
        return true;
    }

    // Exact when nobody is in the middle of something; then reserved == delivered + voided.
    RingCounters counters() const {
        return {reserved_.load(Orders::plain), delivered_.load(Orders::plain), voided_.load(Orders::plain),
                batches_.load(Orders::plain)};
    }

  private:
    template <class T>
    using Atomic = typename Atomics::template Atomic<T>;

    // Written by who holds the row. The atomics may be read by others meanwhile, who then fail to change the word.
    struct Row {
        Atomic<uint64_t> ticket{0};
        Atomic<uint32_t> camera{nobody};
        Atomic<Time> deadline{never};
        typename Atomics::template Plain<uint32_t> index{0};
    };

    // Words keep apart, so that producers in one buffer do not slow those in another.
    struct alignas(64) Buffer {
        Atomic<uint64_t> word{0};
        std::unique_ptr<Row[]> rows;
    };

    bool leave(const Claim& claim) {
        const uint64_t rows = Word::mask(claim.first, claim.count);
        const uint64_t before = line_[claim.buffer].word.fetch_or(rows, Orders::leave);
        if (before & Word::sealed) {
            free_if_done(claim.buffer, before | rows);
            return false;
        }
        work_.ring();
        return true;
    }

    // Called after each change that may be the last of a batch, with the word it made: true of exactly one of them.
    void free_if_done(unsigned buffer, uint64_t word) {
        if (!Word::done(word)) return;
        line_[buffer].word.fetch_add(Word::freeing(word), Orders::free);
        room_.ring();
    }

    template <class Match>
    Claim recapture(unsigned wanted, Match match) {
        for (;;) {
            Claim claim;
            uint64_t found = 0, oldest = 0;
            for (unsigned i = 0; i < buffers_; ++i) {
                const uint64_t word = line_[i].word.load(Orders::look);
                if (word & Word::sealed) continue;
                for (unsigned row = 0; row < rows_; ++row) {
                    if (!(word >> row & 1) || !match(line_[i].rows[row])) continue;
                    const uint64_t ticket = line_[i].rows[row].ticket.load(Orders::plain);
                    const bool continues = claim.count > 0 && claim.buffer == i && claim.first + claim.count == row;
                    if (claim.count == 0 || Word::older(ticket, oldest)) {
                        claim = {i, row, 1};
                        found = word;
                        oldest = ticket;
                    } else if (ticket == oldest && continues && claim.count < wanted) {
                        ++claim.count;
                    }
                }
            }
            if (claim.count == 0) return claim;
            if (line_[claim.buffer].word.compare_exchange_weak(
                    found, Word::recaptured(found, Word::mask(claim.first, claim.count)), Orders::recapture,
                    Orders::plain)) {
                reserved_.fetch_add(claim.count, Orders::plain);
                voided_.fetch_add(claim.count, Orders::plain);
                return claim;
            }
        }
    }

    // Of the committed rows.
    Time oldest_deadline(unsigned buffer, uint64_t word) const {
        Time oldest = never;
        if (!(word & Word::sealed))
            for (uint64_t left = Word::left(word); left != 0; left &= left - 1)
                oldest = std::min(oldest, line_[buffer].rows[std::countr_zero(left)].deadline.load(Orders::plain));
        return oldest;
    }

    static bool is_shut(uint64_t word) { return word & (Word::shut | Word::closed); }

    // When the batch is to be shut, or if it is, to be sealed.
    Time next_step_at(uint64_t word, Time oldest) const {
        const unsigned reserved = Word::reserved(word);
        if (reserved == 0 || (word & Word::sealed)) return never;
        if (Word::complete(word) && (reserved == rows_ || is_shut(word))) return std::numeric_limits<Time>::min();
        if (!is_shut(word)) return oldest;
        const Time patient = oldest > never - patience_ ? never : oldest + patience_;
        return word & Word::closed ? std::min(patient, drain_until_.load(Orders::plain)) : patient;
    }

    Batch sealed(unsigned buffer, uint64_t word) {
        Batch batch{static_cast<int>(buffer), Word::left(word), never};
        for (uint64_t left = batch.rows; left != 0; left &= left - 1)
            if (line_[buffer].rows[std::countr_zero(left)].camera.load(Orders::plain) == nobody)
                batch.rows ^= left & -left;
        const unsigned committed = std::popcount(batch.rows);
        delivered_.fetch_add(committed, Orders::plain);
        voided_.fetch_add(Word::reserved(word) - committed, Orders::plain);
        batches_.fetch_add(1, Orders::plain);
        return batch;
    }

    const unsigned buffers_, rows_;
    const Time patience_;
    const std::unique_ptr<Buffer[]> line_;
    alignas(64) Atomic<uint64_t> next_ticket_;
    Atomic<uint64_t> reserved_{0}, delivered_{0}, voided_{0}, batches_{0};
    Atomic<Time> drain_until_{never};
    alignas(64) Bell<Atomics, Chimes> work_;  // rung when rows were committed
    alignas(64) Bell<Atomics, Chimes> room_;  // rung when a buffer was freed
};

}  // namespace reidkit
