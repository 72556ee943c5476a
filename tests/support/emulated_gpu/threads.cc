#include "tests/support/emulated_gpu/threads.h"

#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#include "common/base/random.h"

namespace emulated_gpu {
namespace {

constexpr size_t kStackBytes = 128 << 10;

struct Copy {
  void* to;
  const void* from;
  size_t bytes;
};

// A stack on which threads run, one after another as long as none of them waits.
struct Fiber {
  ucontext_t context{};
  std::unique_ptr<char[]> stack = std::make_unique_for_overwrite<char[]>(kStackBytes);
  void* fake_stack = nullptr;  // the address sanitizer's
  uint32_t thread = 0;
};

// Blocks, one after another, on stacks that stay.
class Blocks {
 public:
  void begin(dim3 size, size_t shared_bytes) {
    size_ = size;
    count_ = size.x * size.y * size.z;
    shared_ = std::make_unique_for_overwrite<std::byte[]>(shared_bytes);  // watched at its ends
    shared_bytes_ = shared_bytes;
    copies_.resize(count_);
    order_.resize(count_);
    exchanges_.resize(count_);
    warps_.resize((count_ + kWarpLanes - 1) / kWarpLanes);
    values_.resize(2 * warps_.size() * kWarpLanes);
  }

  void run(uint3 index, dim3 grid, ballast::Random& random, const std::function<void()>& thread) {
    index_ = index;
    grid_ = grid;
    random_ = &random;
    body_ = &thread;
    for (Warp& warp : warps_) warp.ended = 0;
    std::ranges::fill(exchanges_, 0u);
    std::memset(shared_.get(), 0xcd, shared_bytes_);
    std::iota(order_.begin(), order_.end(), 0u);
    for (uint32_t i = count_; i > 1; --i) std::swap(order_[i - 1], order_[random.below(i)]);
    begun_ = ended_ = 0;
    while (ended_ < count_) {
      Fiber* fiber = next();
      if (fiber == nullptr) broken("threads of a block wait for each other");
      resume(*fiber);
    }
  }

  [[nodiscard]] uint3 thread_index() const {
    const uint32_t thread = current_->thread;
    return {thread % size_.x, thread / size_.x % size_.y, thread / size_.x / size_.y};
  }
  [[nodiscard]] uint3 index() const { return index_; }
  [[nodiscard]] dim3 size() const { return size_; }
  [[nodiscard]] dim3 grid() const { return grid_; }
  [[nodiscard]] void* shared() { return shared_.get(); }
  [[nodiscard]] uint32_t lane() const { return current_->thread % kWarpLanes; }

  void wait_for_warp() {
    const uint32_t number = current_->thread / kWarpLanes;
    warps_[number].waiting.push_back(current_);
    release_warp(number);
    leave();
  }

  void wait_for_block() {
    waiting_.push_back(current_);
    release_block();
    leave();
  }

  void queue_copy(const Copy& copy) { copies_[current_->thread].push_back(copy); }
  void do_copies() {
    for (const Copy& copy : copies_[current_->thread]) std::memcpy(copy.to, copy.from, copy.bytes);
    copies_[current_->thread].clear();
  }

  // Two sets of places: whoever writes the next value may be ahead of who reads the last one.
  const uint64_t* exchange(uint64_t value) {
    const uint32_t thread = current_->thread;
    uint64_t* places = values_.data() + (exchanges_[thread]++ % 2) * (values_.size() / 2) +
                       thread / kWarpLanes * kWarpLanes;
    places[thread % kWarpLanes] = value;
    wait_for_warp();
    return places;
  }

 private:
  struct Warp {
    std::vector<Fiber*> waiting;
    uint32_t ended = 0;
  };

  // One that may go on, or a stack for a thread that has not begun; null: neither.
  Fiber* next() {
    const bool begins = begun_ < count_;
    if (ready_.empty() && !begins) return nullptr;
    const uint64_t drawn = random_->below(ready_.size() + begins);
    if (drawn < ready_.size()) {
      std::swap(ready_[drawn], ready_.back());
      Fiber* fiber = ready_.back();
      ready_.pop_back();
      return fiber;
    }
    if (idle_.empty()) {
      fibers_.push_back(std::make_unique<Fiber>());
      prepare(fibers_.back()->context, fibers_.back()->stack.get());
      return fibers_.back().get();
    }
    Fiber* fiber = idle_.back();
    idle_.pop_back();
    return fiber;
  }

  static void prepare(ucontext_t& context, char* stack) {
    getcontext(&context);
    context.uc_stack.ss_sp = stack;
    context.uc_stack.ss_size = kStackBytes;
    makecontext(&context, &Blocks::enter, 0);
  }
  static void enter();

  void run_threads() {
    finish_switch();
    for (;;) {
      Fiber* mine = current_;
      while (begun_ < count_) {
        mine->thread = order_[begun_++];
        (*body_)();
        if (!copies_[mine->thread].empty())
          broken("a thread ended before its copies were waited for");
        ++ended_;
        ++warps_[mine->thread / kWarpLanes].ended;
        release_warp(mine->thread / kWarpLanes);
        release_block();
      }
      idle_.push_back(mine);
      leave();
    }
  }

  void release_warp(uint32_t number) {
    Warp& warp = warps_[number];
    if (warp.waiting.empty()) return;
    if (warp.ended > 0) broken("a lane waits for its warp, of which another has ended");
    if (warp.waiting.size() == std::min(kWarpLanes, count_ - number * kWarpLanes)) {
      release(warp.waiting);
    }
  }

  void release_block() {
    if (!waiting_.empty() && waiting_.size() + ended_ == count_) release(waiting_);
  }

  void release(std::vector<Fiber*>& waiting) {
    ready_.insert(ready_.end(), waiting.begin(), waiting.end());
    waiting.clear();
  }

  void resume(Fiber& fiber) {
    current_ = &fiber;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&own_fake_stack_, fiber.stack.get(), kStackBytes);
#endif
    swapcontext(&own_, &fiber.context);
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(own_fake_stack_, nullptr, nullptr);
#endif
  }

  void leave() {
    Fiber* mine = current_;
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_start_switch_fiber(&mine->fake_stack, own_stack_, own_stack_bytes_);
#endif
    swapcontext(&mine->context, &own_);
    current_ = mine;
    finish_switch();
  }

  void finish_switch() {
#if defined(__SANITIZE_ADDRESS__)
    __sanitizer_finish_switch_fiber(current_->fake_stack, &own_stack_, &own_stack_bytes_);
#endif
  }

  dim3 size_;
  uint32_t count_ = 0;
  std::unique_ptr<std::byte[]> shared_;
  size_t shared_bytes_ = 0;
  uint3 index_{};
  dim3 grid_;
  ballast::Random* random_ = nullptr;
  const std::function<void()>* body_ = nullptr;
  std::vector<Warp> warps_;
  std::vector<std::vector<Copy>> copies_;  // by thread: not done yet
  std::vector<uint32_t> order_;            // in which threads begin
  std::vector<uint32_t> exchanges_;        // by thread: how many it has done
  std::vector<uint64_t> values_;
  uint32_t begun_ = 0, ended_ = 0;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::vector<Fiber*> idle_, ready_;
  std::vector<Fiber*> waiting_;  // for the block
  Fiber* current_ = nullptr;
  ucontext_t own_{};
  void* own_fake_stack_ = nullptr;
  const void* own_stack_ = nullptr;
  size_t own_stack_bytes_ = 0;
};

Blocks& blocks() {
  static Blocks all;
  return all;
}

void Blocks::enter() {
  blocks().run_threads();
}

}  // namespace

void run_grid(dim3 grid, dim3 block, size_t shared_bytes, uint64_t seed,
              const std::function<void()>& thread) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535) {
    broken("a grid of 0 blocks, or of more than there may be");
  }
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024) broken("a block of 0 threads, or of more than 1024");
  if (shared_bytes > (48u << 10)) broken("more shared memory than a block has if nobody asks");
  ballast::Random random(seed);
  blocks().begin(block, shared_bytes);
  for (uint32_t z = 0; z < grid.z; ++z) {
    for (uint32_t y = 0; y < grid.y; ++y) {
      for (uint32_t x = 0; x < grid.x; ++x) blocks().run({x, y, z}, grid, random, thread);
    }
  }
}

uint3 thread_index() {
  return blocks().thread_index();
}
uint3 block_index() {
  return blocks().index();
}
dim3 block_size() {
  return blocks().size();
}
dim3 grid_size() {
  return blocks().grid();
}
void* dynamic_shared() {
  return blocks().shared();
}
uint32_t lane_index() {
  return blocks().lane();
}
void wait_for_block() {
  blocks().wait_for_block();
}
void wait_for_warp() {
  blocks().wait_for_warp();
}
const uint64_t* exchange(uint64_t value) {
  return blocks().exchange(value);
}

void copy_later(void* to, const void* from, size_t bytes) {
  const auto apart = reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from);
  if (bytes != 4 && bytes != 8 && bytes != 16) broken("a copy of other than 4, 8 or 16 bytes");
  if (apart % bytes != 0) broken("a copy that is not aligned to its size");
  blocks().queue_copy({to, from, bytes});
}
void wait_for_copies() {
  blocks().do_copies();
}

uint64_t seed() {
  const char* given = std::getenv("BALLAST_EMULATED_SEED");
  return given == nullptr ? 2026 : std::strtoull(given, nullptr, 10);
}

void broken(const char* what) {
  std::fprintf(stderr, "emulated GPU: %s (BALLAST_EMULATED_SEED=%llu)\n", what,
               static_cast<unsigned long long>(seed()));
  std::abort();
}

}  // namespace emulated_gpu
