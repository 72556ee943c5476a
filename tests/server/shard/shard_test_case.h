// ShardTest: what tests of a whole shard share: one shard with both units of small_job(), the store
// under it, and short ways to say something to it and to ask what it has said.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "common/storage/memory_journal.h"
#include "server/shard/shard.h"
#include "tests/server/shard/shard_fixture.h"

namespace ballast::testing {

inline constexpr uint64_t kRun = 77;

class ShardTest : public ::testing::Test {
 protected:
  void start(Mode mode, Durability durability) {
    job_ = small_job(mode);
    job_.checkpoint.durability = durability;
    restart();
  }

  void restart() {
    shard_.reset();
    journal_.reset();
    journal_ = std::make_unique<MemoryJournal>(store_, ShardId(0), job_.checkpoint.durability);
    ShardConfig config;
    config.incarnation = ++life_;
    config.job = job_;
    config.run = kRun;
    config.parameters = parameters_of(job_.model, job_.resolved.input_width);
    config.units = cut_units(config.parameters, job_.cluster.unit_bytes);
    config.job_hash = "job";
    shard_ = std::make_unique<Shard>(*journal_, config, [this](const wire::Load& load) {
      return store_.read_manifest(load.checkpoint);
    });
    said_.clear();
    shard_->start(kNow, said_);
    flush();
  }

  void crash(size_t kept) { store_.crash(ShardId(0), kept); }

  // Everything ordered so far reaches the disk and is reported.
  void flush() {
    store_.make_durable(ShardId(0));
    while (auto event = journal_->poll()) {
      shard_->handle(shard_event::Stored{std::move(*event)}, kNow, said_);
    }
  }

  void hear(wire::Any message, Peer from = {Role::kCoordinator, 0, 1}) {
    if (auto* push = std::get_if<wire::Push>(&message)) push->header.run = kRun;
    if (auto* pull = std::get_if<wire::Pull>(&message)) pull->header.run = kRun;
    hear_as_it_is(std::move(message), from);
  }

  void hear_as_it_is(wire::Any message, Peer from) {
    shard_->handle(shard_event::Received{from, std::move(message)}, kNow, said_);
  }

  wire::Load load_order(wire::LoadSource source) {
    wire::Load load;
    load.incarnation = life_;
    load.source = source;
    load.units = {{UnitId(0), ShardId(0), 0}, {UnitId(1), ShardId(0), 0}};
    load.fences = {1, 1, 1, 1};
    return load;
  }

  void load(wire::LoadSource source = wire::LoadSource::kInitial) {
    hear(load_order(source));
    flush();
    said_.clear();
  }

  void push(std::vector<uint32_t> lanes, Clock clock, uint64_t sequence, Fence fence = 1) {
    wire::Push message;
    message.entries.push_back(push_of(std::move(lanes), clock, floats({1, 1}), sequence, fence));
    hear(std::move(message), worker(0));
  }

  void push_unit_1(std::vector<uint32_t> lanes, Clock clock, uint64_t sequence) {
    wire::Push message;
    message.entries.push_back(push_of(std::move(lanes), clock, floats({1}), sequence));
    message.entries[0].unit = UnitId(1);
    hear(std::move(message), worker(0));
  }

  // The replies said so far, as "code code".
  std::string replies() const {
    std::string codes;
    for (const ShardEffect& effect : said_) {
      const auto* reply = std::get_if<shard_effect::SendReply>(&effect);
      if (reply == nullptr) continue;
      if (!codes.empty()) codes += ' ';
      codes += wire::reply_code_name(reply->entry.code);
    }
    return codes;
  }

  // The last control message of this kind; null: none.
  template <typename Message>
  const Message* said() const {
    const Message* last = nullptr;
    for (const ShardEffect& effect : said_) {
      const auto* control = std::get_if<shard_effect::SendControl>(&effect);
      if (control == nullptr) continue;
      if (const auto* one = std::get_if<Message>(&control->message)) last = one;
    }
    return last;
  }

  bool failed() const {
    return std::any_of(said_.begin(), said_.end(), [](const ShardEffect& effect) {
      return std::holds_alternative<shard_effect::Fail>(effect);
    });
  }

  Status failure() const {
    for (const ShardEffect& effect : said_) {
      if (const auto* fail = std::get_if<shard_effect::Fail>(&effect)) return fail->status;
    }
    return Status();
  }

  std::vector<std::string> notes() const {
    std::vector<std::string> texts;
    for (const ShardEffect& effect : said_) {
      if (const auto* note = std::get_if<shard_effect::Note>(&effect)) texts.push_back(note->text);
    }
    return texts;
  }

  // Every heartbeat from the last one to `time`.
  void tick_until(Time time) {
    const Duration beat = std::chrono::milliseconds(job_.cluster.heartbeat_ms);
    while (ticked_ + beat <= time) {
      ticked_ += beat;
      shard_->handle(shard_event::Tick{}, ticked_, said_);
    }
  }

  Time ticked_ = kNow;
  JobConfig job_;
  MemoryStore store_;
  std::unique_ptr<MemoryJournal> journal_;
  std::unique_ptr<Shard> shard_;
  Incarnation life_ = 0;
  ShardEffects said_;
};

}  // namespace ballast::testing
