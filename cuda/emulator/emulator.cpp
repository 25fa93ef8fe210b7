#include "emulator/emulator.hpp"

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <mutex>
#include <random>
#include <stdexcept>
#include <vector>

namespace embmath::cuda::emulator {

Here here;

namespace {

constexpr std::size_t kStackBytes = 256 << 10;
constexpr std::size_t kMaxExchange = 256;  // bytes that a lane brings to a meeting

struct Copy {
    void* to;
    const void* from;
    std::size_t bytes, valid;
};

struct Fiber {
    ucontext_t context;  // to begin with
    jmp_buf resumed;     // afterwards: switching contexts is a system call, jumping is not
    bool has_begun = false;
    std::unique_ptr<unsigned char[]> stack;
    Index index;
    bool is_done = false;
    std::uint64_t barriers = 0;                 // that it has reached
    std::deque<std::vector<Copy>> copies;       // committed groups, oldest first
    std::vector<Copy> open;                     // not yet committed
};

// Where lanes of a warp meet: everyone arrives, everyone reads, everyone leaves.
struct Meeting {
    alignas(16) unsigned char values[kWarp * kMaxExchange];
    unsigned arrived = 0, left = 0;
};

struct Block {
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Meeting> meetings;  // one per warp
    std::vector<unsigned char> shared;
    jmp_buf scheduler;
    Fiber* current = nullptr;
    const std::function<void()>* body = nullptr;
    std::uint64_t progress = 0;  // changes with every arrival: without one, all wait for ever
    std::exception_ptr error;
};

Block* block = nullptr;
std::mt19937_64 order;

void yield() {
    if (_setjmp(block->current->resumed) == 0) _longjmp(block->scheduler, 1);
}

void enter() {
    try {
        (*block->body)();
    } catch (...) {
        block->error = std::current_exception();
    }
    block->current->is_done = true;
    ++block->progress;
    yield();
}

void start(Fiber& fiber, unsigned thread) {
    if (!fiber.stack) fiber.stack = std::make_unique<unsigned char[]>(kStackBytes);
    getcontext(&fiber.context);
    fiber.context.uc_stack = {fiber.stack.get(), 0, kStackBytes};
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    fiber.index.x = thread;
    fiber.is_done = fiber.has_begun = false;
    fiber.barriers = 0;
    fiber.copies.clear();
    fiber.open.clear();
}

void resume(Fiber& fiber) {
    block->current = &fiber;
    here.thread = fiber.index;
    if (_setjmp(block->scheduler) != 0) return;
    if (fiber.has_begun) _longjmp(fiber.resumed, 1);
    fiber.has_begun = true;
    setcontext(&fiber.context);
}

void run_block() {
    std::vector<Fiber*> running;
    for (unsigned i = 0; i < block->fibers.size(); ++i) {
        start(*block->fibers[i], i);
        running.push_back(block->fibers[i].get());
    }
    for (Meeting& meeting : block->meetings) meeting.arrived = meeting.left = 0;
    std::fill(block->shared.begin(), block->shared.end(), std::uint8_t{0xcd});
    while (!running.empty()) {
        const std::uint64_t before = block->progress;
        std::shuffle(running.begin(), running.end(), order);
        for (Fiber* fiber : running) resume(*fiber);
        if (block->error) std::rethrow_exception(block->error);
        std::erase_if(running, [](const Fiber* fiber) { return fiber->is_done; });
        if (!running.empty() && block->progress == before) throw std::logic_error("emulator: threads wait for ever");
    }
}

void perform(const std::vector<Copy>& copies) {
    for (const Copy& copy : copies) {
        std::memcpy(copy.to, copy.from, copy.valid);
        std::memset(static_cast<unsigned char*>(copy.to) + copy.valid, 0, copy.bytes - copy.valid);
    }
}

}  // namespace

void run_grid(const Grid& grid, const std::function<void()>& body) {
    static std::mutex turn;  // there is one device
    const std::lock_guard lock(turn);
    const char* seed = std::getenv("EMBMATH_EMULATOR_SEED");
    order.seed(seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10));
    Block own;
    block = &own;
    own.body = &body;
    own.shared.resize(grid.shared_bytes + 128);
    own.meetings.resize((grid.threads + kWarp - 1) / kWarp);
    for (unsigned i = 0; i < grid.threads; ++i) own.fibers.push_back(std::make_unique<Fiber>());
    here.block_dim = {grid.threads, 1, 1};
    here.grid_dim = {grid.blocks_x, grid.blocks_y, 1};
    const auto address = reinterpret_cast<std::uintptr_t>(own.shared.data());
    here.shared = reinterpret_cast<unsigned char*>((address + 127) / 128 * 128);
    for (unsigned y = 0; y < grid.blocks_y; ++y) {
        for (unsigned x = 0; x < grid.blocks_x; ++x) {
            here.block = {x, y, 0};
            run_block();
        }
    }
    block = nullptr;
}

void sync_block() {
    const std::uint64_t mine = ++block->current->barriers;
    ++block->progress;
    const auto is_behind = [mine](const auto& fiber) { return !fiber->is_done && fiber->barriers < mine; };
    while (std::any_of(block->fibers.begin(), block->fibers.end(), is_behind)) yield();
}

const void* exchange(unsigned mask, const void* mine, std::size_t bytes) {
    const unsigned thread = here.thread.x, lane = thread % kWarp;
    if (bytes > kMaxExchange) throw std::logic_error("emulator: exchange of too many bytes");
    if ((mask >> lane & 1u) == 0) throw std::logic_error("emulator: lane outside its own mask");
    Meeting& meeting = block->meetings[thread / kWarp];
    while ((meeting.left & 1u << lane) != 0 || (meeting.arrived & 1u << lane) != 0) yield();  // the last one is not over
    std::memcpy(meeting.values + lane * bytes, mine, bytes);
    meeting.arrived |= 1u << lane;
    ++block->progress;
    while ((meeting.arrived & mask) != mask) yield();
    return meeting.values;
}

void exchange_done(unsigned mask) {
    const unsigned thread = here.thread.x, lane = thread % kWarp;
    Meeting& meeting = block->meetings[thread / kWarp];
    meeting.left |= 1u << lane;
    ++block->progress;
    if ((meeting.left & mask) == mask) {
        meeting.arrived &= ~mask;
        meeting.left &= ~mask;
        return;
    }
    while ((meeting.left & 1u << lane) != 0) yield();
}

void copy_later(void* to, const void* from, std::size_t bytes, std::size_t valid) {
    block->current->open.push_back({to, from, bytes, valid});
}

void commit_copies() {
    Fiber& fiber = *block->current;
    fiber.copies.push_back(std::move(fiber.open));
    fiber.open.clear();
}

void wait_copies(unsigned groups_left) {
    auto& copies = block->current->copies;
    for (; copies.size() > groups_left; copies.pop_front()) perform(copies.front());
}

}  // namespace embmath::cuda::emulator
