// Crew: a few threads that share one task at a time with the thread that owns them, and sleep in
// between. With one thread there are no helpers and nothing to wake. Owner thread: the computing
// thread; run() returns when every part is done.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace ballast::cpu {

class Crew {
 public:
  explicit Crew(uint32_t threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  [[nodiscard]] uint32_t threads() const { return static_cast<uint32_t>(helpers_.size()) + 1; }

  // task(part) for each part in [0, threads()), part 0 on the caller. The task must not throw.
  template <typename Task>
  void run(const Task& task) {
    run_parts({[](const void* t, uint32_t part) { (*static_cast<const Task*>(t))(part); }, &task});
  }

 private:
  // A borrowed callable: no allocation per product.
  struct Job {
    void (*call)(const void* task, uint32_t part) = nullptr;
    const void* task = nullptr;
  };

  void run_parts(const Job& job);
  void help(uint32_t part);

  std::mutex mutex_;  // guards all below but helpers_
  std::condition_variable started_;
  std::condition_variable finished_;
  Job job_;
  uint64_t job_number_ = 0;
  uint32_t parts_left_ = 0;
  bool stopping_ = false;
  std::vector<std::thread> helpers_;  // written by the constructor and destructor only
};

}  // namespace ballast::cpu
