#include "worker/feed/feed_client.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/random.h"

namespace ballast {
namespace {

// Gains of RFC 6298, and twice its bound: an answer that is only slow should not be made twice.
constexpr int kMeanShare = 8;
constexpr int kDeviationShare = 4;
constexpr int kDeviations = 4;
constexpr int kBounds = 2;

std::string name_of(const wire::RowRun& run) {
  return fmt::format("rows {} to {} of lane {} in epoch {}", run.first, run.first + run.rows - 1,
                     run.lane.value(), run.epoch + 1);
}

// What two sides that do not belong together differ in; empty: nothing.
std::string difference(const wire::FeedStamp& ours, const wire::FeedStamp& theirs) {
  if (ours.job != theirs.job) {
    return fmt::format("it feeds the job with job_hash {}, expected {}", hex64(theirs.job),
                       hex64(ours.job));
  }
  if (ours.dataset != theirs.dataset) {
    return fmt::format("it reads the data set with manifest xxh3 {}, expected {}",
                       hex64(theirs.dataset), hex64(ours.dataset));
  }
  return {};
}

}  // namespace

FeedClient::FeedClient(FeedClientConfig config, Time now)
    : config_(std::move(config)), begun_(now), feeders_(config_.feeders) {}

void FeedClient::handle(FeedEvent event, Time now, FeedEffects& out) {
  std::visit([&](auto& one) { on(std::move(one), now, out); }, event);
}

// ---------------------------------------------------------------- events

void FeedClient::on(feed_event::Want event, Time now, FeedEffects& out) {
  const auto [place, is_new] = wanted_.try_emplace(event.run);
  if (!is_new) return;
  place->second.give_up_at = now + config_.lease_first;
  if (settle(place->first, place->second, now, out)) wanted_.erase(place);
}

void FeedClient::on(feed_event::Drop event, Time now, FeedEffects& out) {
  const auto found = wanted_.find(event.run);
  if (found == wanted_.end()) return;
  take_back(found->second);
  wanted_.erase(found);
  settle_waiting(now, out);
}

void FeedClient::on(feed_event::PeerUp event, Time now, FeedEffects& out) {
  const std::optional<uint32_t> index = feeder_of(event.feeder);
  if (!index) return;
  Feeder& feeder = feeders_[*index];
  give_back_all(*index, now);
  const uint64_t portions = feeder.portions, rows = feeder.rows;
  feeder = {};
  feeder.life = event.feeder;
  feeder.portions = portions;
  feeder.rows = rows;
  any_came_ = true;
  out.push_back(feed_effect::Note{fmt::format("feeder {} is here", *index)});
  settle_waiting(now, out);
}

void FeedClient::on(feed_event::PeerDown event, Time now, FeedEffects& out) {
  const std::optional<uint32_t> index = feeder_of(event.feeder);
  if (!index || feeders_[*index].life != event.feeder) return;
  feeders_[*index].life.reset();
  const uint32_t asked = feeders_[*index].asked;
  give_back_all(*index, now);
  out.push_back(
      feed_effect::Note{fmt::format("feeder {} went with {} portions unanswered", *index, asked)});
  settle_waiting(now, out);
}

void FeedClient::on(feed_event::Received event, Time now, FeedEffects& out) {
  const std::optional<uint32_t> index = feeder_of(event.from);
  if (!index || feeders_[*index].life != event.from || feeders_[*index].refused) return;
  const wire::FeedAnswer& answer = event.answer;
  const std::string differs = difference(config_.stamp, answer.stamp);
  if (!differs.empty()) {
    refuse(*index, differs + "; start it for this job, with its data", now, out);
  } else if (answer.code == wire::FeedCode::kRefused) {
    refuse(*index, answer.reason, now, out);
  } else if (answer.code == wire::FeedCode::kRows) {
    take_rows(*index, std::move(event.answer), now, out);
  } else {
    take_excuse(*index, answer, now, out);
  }
  settle_waiting(now, out);
}

void FeedClient::take_rows(uint32_t index, wire::FeedAnswer answer, Time now, FeedEffects& out) {
  if (const std::string fault = fault_of(answer, config_.shape); !fault.empty()) {
    return refuse(index, fmt::format("damaged {}: {}", name_of(answer.run), fault), now, out);
  }
  Feeder& feeder = feeders_[index];
  feeder.late = false;
  feeder.pause = {};
  const auto found = wanted_.find(answer.run);
  if (found != wanted_.end() && found->second.of == index) learn(feeder, found->second, now);
  feeder.heard = now;
  if (found == wanted_.end()) return;
  ++feeder.portions;
  feeder.rows += answer.run.rows;
  take_back(found->second);
  wanted_.erase(found);
  out.push_back(feed_effect::Deliver{std::move(answer)});
}

void FeedClient::take_excuse(uint32_t index, const wire::FeedAnswer& answer, Time now,
                             FeedEffects& out) {
  Feeder& feeder = feeders_[index];
  const auto found = wanted_.find(answer.run);
  if (found == wanted_.end() || found->second.of != index) return;
  Wanted& portion = found->second;
  feeder.heard = now;
  give_back(portion, now);
  if (answer.code == wire::FeedCode::kBusy) {
    --portion.asks;  // nobody tried
    if (!portion.busy_since) portion.busy_since = now;
    portion.give_up_at = *portion.busy_since + config_.busy_most;
    feeder.busy_until = now + config_.busy_pause;
    return;
  }
  portion.give_up_at = now + lease(feeder);
  out.push_back(feed_effect::Note{
      fmt::format("feeder {} cannot give {}: {}", index, name_of(answer.run), answer.reason)});
}

void FeedClient::learn(Feeder& feeder, const Wanted& portion, Time now) {
  feeder.answered = std::max(feeder.answered, portion.number);
  // It does one after another: what it did before counts from there.
  const Duration took = now - std::max(portion.asked_at, feeder.heard);
  if (feeder.mean == Duration{}) {
    feeder.mean = std::max(took, Duration(1));
    feeder.deviation = took / 2;
    return;
  }
  const Duration off = took > feeder.mean ? took - feeder.mean : feeder.mean - took;
  feeder.deviation += (off - feeder.deviation) / kDeviationShare;
  feeder.mean += (took - feeder.mean) / kMeanShare;
}

void FeedClient::on(feed_event::Tick, Time now, FeedEffects& out) {
  for (Feeder& feeder : feeders_) {
    if (now >= feeder.busy_until) feeder.busy_until = {};
  }
  std::set<uint32_t> late;
  for (auto& [run, portion] : wanted_) {
    if (!portion.of) continue;
    if (lost(portion)) {
      give_back(portion, now);
    } else if (now >= late_at(portion)) {
      late.insert(*portion.of);
    }
  }
  for (uint32_t feeder : late) note_late(feeder, now, out);
  settle_waiting(now, out);
}

// ---------------------------------------------------------------- deciding

bool FeedClient::settle(const wire::RowRun& run, Wanted& portion, Time now, FeedEffects& out) {
  probe(run, now, out);
  if (portion.asks >= kAsksMax || now >= portion.give_up_at || !worth_waiting(now)) {
    out.push_back(feed_effect::ReadLocally{run});
    return true;
  }
  const std::vector<uint32_t> order = preferred(run);
  // Rather somebody else than who did not give it the last time.
  for (const bool again : {false, true}) {
    for (uint32_t index : order) {
      const Feeder& feeder = feeders_[index];
      if ((portion.not_of == index) != again || !usable(feeder) || now < feeder.busy_until)
        continue;
      if (feeder.asked >= config_.asks_per_feeder) continue;
      ask(index, run, portion, now, out);
      return false;
    }
  }
  return false;
}

void FeedClient::ask(uint32_t index, const wire::RowRun& run, Wanted& portion, Time now,
                     FeedEffects& out) {
  Feeder& feeder = feeders_[index];
  ++feeder.asked;
  ++portion.asks;
  portion.of = index;
  portion.number = ++feeder.asks;
  portion.asked_at = now;
  out.push_back(feed_effect::Send{*feeder.life, {config_.stamp, run}});
}

// Its answer is taken if it is the first, and says in any case that the feeder is back.
void FeedClient::probe(const wire::RowRun& run, Time now, FeedEffects& out) {
  for (Feeder& feeder : feeders_) {
    if (!feeder.late || !feeder.life || feeder.refused || now < feeder.probe_at) continue;
    feeder.pause = std::min(2 * feeder.pause, config_.late_pause_most);
    feeder.probe_at = now + feeder.pause;
    out.push_back(feed_effect::Send{*feeder.life, {config_.stamp, run}});
  }
}

void FeedClient::settle_waiting(Time now, FeedEffects& out) {
  for (auto portion = wanted_.begin(); portion != wanted_.end();) {
    const bool settled = !portion->second.of && settle(portion->first, portion->second, now, out);
    portion = settled ? wanted_.erase(portion) : std::next(portion);
  }
}

void FeedClient::take_back(Wanted& portion) {
  if (!portion.of) return;
  --feeders_[*portion.of].asked;
  portion.of.reset();
}

// Somebody else is to be asked; how often is bounded by kAsksMax.
void FeedClient::give_back(Wanted& portion, Time now) {
  portion.not_of = portion.of;
  portion.give_up_at = now + lease(feeders_[*portion.of]);
  take_back(portion);
}

void FeedClient::give_back_all(uint32_t feeder, Time now) {
  for (auto& [run, portion] : wanted_) {
    if (portion.of == feeder) give_back(portion, now);
  }
}

void FeedClient::refuse(uint32_t feeder, const std::string& why, Time now, FeedEffects& out) {
  feeders_[feeder].refused = true;
  give_back_all(feeder, now);
  out.push_back(feed_effect::Note{fmt::format("feeder {} is of no use: {}", feeder, why)});
}

void FeedClient::note_late(uint32_t index, Time now, FeedEffects& out) {
  Feeder& feeder = feeders_[index];
  Duration silent{};
  for (const auto& [run, portion] : wanted_) {
    if (portion.of == index)
      silent = std::max(silent, now - std::max(portion.asked_at, feeder.heard));
  }
  give_back_all(index, now);
  feeder.mean = std::max(feeder.mean, silent);
  feeder.late = true;
  feeder.pause = config_.late_pause_least;
  feeder.probe_at = now + feeder.pause;
  out.push_back(feed_effect::Note{fmt::format(
      "feeder {} is late: no answer for {:.1f} s; its portions come from others until it answers",
      index, to_seconds(silent))});
}

// The lane's home first, then the others in an order of the lane's own, so that the lanes of a
// feeder that went spread over those that are left (rendezvous hashing, Thaler and Ravishankar,
// 1998). Without blocks to read anew, portion by portion in turn.
std::vector<uint32_t> FeedClient::preferred(const wire::RowRun& run) const {
  const uint64_t turn = config_.lane_has_home ? 0 : run.epoch + run.first / std::max(1u, run.rows);
  const uint64_t home = (run.lane.value() + turn) % feeders_.size();
  std::vector<uint32_t> order(feeders_.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [&](uint32_t a, uint32_t b) {
    if ((a == home) != (b == home)) return a == home;
    return hash_numbers({run.lane.value(), turn, a}) < hash_numbers({run.lane.value(), turn, b});
  });
  return order;
}

bool FeedClient::usable(const Feeder& feeder) {
  return feeder.life && !feeder.refused && !feeder.late;
}

// Whether a portion that nobody is asked for may still come from a feeder soon.
bool FeedClient::worth_waiting(Time now) const {
  if (!any_came_) return !feeders_.empty() && now < begun_ + config_.first_feeder;
  return std::any_of(feeders_.begin(), feeders_.end(), usable);
}

Duration FeedClient::lease(const Feeder& feeder) const {
  if (feeder.mean == Duration{}) return config_.lease_first;
  return std::clamp(kBounds * (feeder.mean + kDeviations * feeder.deviation), config_.lease_least,
                    config_.lease_most);
}

Time FeedClient::late_at(const Wanted& portion) const {
  const Feeder& feeder = feeders_[*portion.of];
  return std::max(portion.asked_at, feeder.heard) + lease(feeder);
}

// So many later ones are answered that this one was forgotten, or its answer was.
bool FeedClient::lost(const Wanted& portion) const {
  return feeders_[*portion.of].answered >= portion.number + 2 * config_.asks_per_feeder;
}

std::optional<uint32_t> FeedClient::feeder_of(const Peer& peer) const {
  if (peer.role != Role::kFeeder || peer.index >= feeders_.size()) return std::nullopt;
  return peer.index;
}

Time FeedClient::next_due() const {
  Time due = kEndOfTime;
  bool waits = false;
  for (const auto& [run, portion] : wanted_) {
    if (portion.of && lost(portion)) return Time{};
    due = std::min(due, portion.of ? late_at(portion) : portion.give_up_at);
    waits = waits || !portion.of;
  }
  if (!waits) return due;
  if (!any_came_) due = std::min(due, begun_ + config_.first_feeder);
  for (const Feeder& feeder : feeders_) {
    if (usable(feeder) && feeder.busy_until > Time{}) due = std::min(due, feeder.busy_until);
  }
  return due;
}

std::vector<FeederCount> FeedClient::counts() const {
  std::vector<FeederCount> counts;
  for (const Feeder& feeder : feeders_) {
    counts.push_back({feeder.life && !feeder.refused, feeder.portions, feeder.rows});
  }
  return counts;
}

}  // namespace ballast
