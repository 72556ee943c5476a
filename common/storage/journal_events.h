// JournalEvents: where a journal's threads leave what its owner polls. Any thread. Bounded by the
// orders of the journal, each of which makes at most one event.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>

#include "common/storage/journal.h"

namespace ballast {

class JournalEvents {
 public:
  explicit JournalEvents(std::function<void()> notify) : notify_(std::move(notify)) {}

  void push(JournalEvent event) {
    {
      std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
    }
    if (notify_) notify_();
  }

  [[nodiscard]] std::optional<JournalEvent> poll() {
    std::lock_guard lock(mutex_);
    if (events_.empty()) return std::nullopt;
    std::optional<JournalEvent> event(std::move(events_.front()));
    events_.pop_front();
    return event;
  }

 private:
  const std::function<void()> notify_;
  std::mutex mutex_;  // guards events_; held for a push or a pop only
  std::deque<JournalEvent> events_;
};

}  // namespace ballast
