#include "worker/tool/replay_command.h"

#include <fmt/format.h>

#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "common/base/hash.h"
#include "common/config/choices.h"
#include "common/storage/checkpoint.h"
#include "worker/data/copy_rows.h"
#include "worker/data/file.h"
#include "worker/data/order_replay.h"
#include "worker/data/train_sets.h"
#include "worker/tool/row_counter.h"
#include "worker/tool/trained_model.h"

namespace ballast {
namespace {

// The training sets where they are now.
Result<DataConfig> moved(DataConfig data, const std::vector<std::string>& places) {
  if (places.empty()) return data;
  if (places.size() != 1 + data.mix.size()) {
    return Status(Code::kInvalidInput,
                  fmt::format("data replay --data: a place for each of the {} training sets of the "
                              "run expected, in their order ({}), {} found",
                              1 + data.mix.size(), train_name(data), places.size()));
  }
  data.train = places.front();
  for (size_t i = 0; i < data.mix.size(); ++i) data.mix[i].train = places[i + 1];
  return data;
}

Result<std::shared_ptr<const Dataset>> open_data_of(const JobConfig& job,
                                                    const ReplayOptions& options) {
  BALLAST_ASSIGN(const DataConfig data, moved(job.data, options.data));
  BALLAST_ASSIGN(std::shared_ptr<const Dataset> dataset, open_train_sets(data));
  const std::string found = hex64(dataset->manifest_xxh3());
  if (found == job.resolved.train_manifest_xxh3) return dataset;
  return Status(
      Code::kInvalidInput,
      fmt::format("data set {}: manifest {} expected by the run {}, {} found: it is not "
                  "the data of that run; name the folder that is with --data",
                  dataset->folder(), job.resolved.train_manifest_xxh3, options.run_dir, found));
}

// ---------------------------------------------------------------- the rows of a step

// Nothing that the run needs is overwritten.
Status check_out(const JobConfig& job, const Dataset& dataset, const ReplayOptions& options) {
  std::vector<std::string> needed = {options.run_dir, job.data.test};
  for (const DatasetPart& part : dataset.parts()) needed.push_back(part.folder);
  for (const std::string& folder : needed) {
    if (!is_same_folder(folder, options.out)) continue;
    return Status(Code::kInvalidInput,
                  fmt::format("data replay --out {}: a folder of its own expected, but the run {} "
                              "needs this one",
                              options.out, options.run_dir));
  }
  return {};
}

struct StepRows {
  LaneId lane;
  std::vector<uint64_t> rows;
};

Result<std::vector<StepRows>> rows_of(OrderReplay& replay, const ReplayOptions& options) {
  const LaneSchedule& schedule = replay.schedule();
  if (*options.step >= schedule.steps()) {
    return Status(Code::kInvalidInput,
                  fmt::format("data replay --step {}: the run {} has steps 0 to {}", *options.step,
                              options.run_dir, schedule.steps() - 1));
  }
  if (options.lane && *options.lane >= schedule.lanes()) {
    return Status(Code::kInvalidInput,
                  fmt::format("data replay --lane {}: the run {} has lanes 0 to {}", *options.lane,
                              options.run_dir, schedule.lanes() - 1));
  }
  std::vector<StepRows> found;
  for (uint32_t lane = 0; lane < schedule.lanes(); ++lane) {
    if (options.lane && *options.lane != lane) continue;
    BALLAST_ASSIGN(std::vector<uint64_t> rows, replay.rows(LaneId(lane), *options.step));
    if (!rows.empty()) found.push_back({LaneId(lane), std::move(rows)});
  }
  if (!found.empty()) return found;
  return Status(Code::kInvalidInput,
                fmt::format("data replay --step {} --lane {}: the lane has no rows left in this "
                            "step, the last one of an epoch",
                            *options.step, *options.lane));
}

void print_table(const Dataset& dataset, const std::vector<StepRows>& lanes, std::ostream& out) {
  for (size_t set = 0; dataset.parts().size() > 1 && set < dataset.parts().size(); ++set) {
    out << fmt::format("# {}/ is {}\n", set, dataset.parts()[set].folder);
  }
  out << fmt::format("{:>5} {:>6} {:>12}  {:<20} {:>6} {:>12}\n", "lane", "place", "row", "chunk",
                     "block", "row in block");
  for (const auto& [lane, rows] : lanes) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const RowPlace place = dataset.place(rows[i]);
      const BlockPlace block = dataset.block(place.block);
      out << fmt::format("{:>5} {:>6} {:>12}  {:<20} {:>6} {:>12}\n", lane.value(), i, rows[i],
                         dataset.chunk_name(block.chunk), block.index_in_chunk, place.row_in_block);
    }
  }
}

Status show_step(const JobConfig& job, const Dataset& dataset, OrderReplay& replay,
                 const ReplayOptions& options, std::ostream& out) {
  BALLAST_ASSIGN(const std::vector<StepRows> lanes, rows_of(replay, options));
  std::vector<uint64_t> rows;
  for (const StepRows& lane : lanes) rows.insert(rows.end(), lane.rows.begin(), lane.rows.end());
  const LaneSchedule& schedule = replay.schedule();
  const std::string what =
      fmt::format("step {}, in epoch {} of {}: {} rows of {} lane{}, order {}", *options.step,
                  schedule.epoch_of(*options.step) + 1, job.train.epochs, rows.size(), lanes.size(),
                  lanes.size() == 1 ? "" : "s", name_of(job.data.order));
  if (options.out.empty()) {
    out << "# " << what << '\n';
    print_table(dataset, lanes, out);
    return {};
  }
  BALLAST_RETURN_IF_ERROR(check_out(job, dataset, options));
  BALLAST_RETURN_IF_ERROR(copy_rows(dataset, rows, options.out, options.overwrite));
  out << options.out << ": " << what << '\n';
  return {};
}

// ---------------------------------------------------------------- the ledgers of a checkpoint

struct UnitLedger {
  UnitId unit;
  std::vector<LaneLedger> lanes;
};

// What each unit of the checkpoint has; one unit in memory at a time.
Result<std::vector<UnitLedger>> stored_ledgers(const std::string& run_dir,
                                               const CheckpointManifest& manifest) {
  std::vector<UnitLedger> units;
  for (const CheckpointPart& part : manifest.parts) {
    for (const CheckpointEntry& entry : part.entries) {
      BALLAST_ASSIGN(const std::vector<UnitImage> images,
                     load_units(run_dir, manifest, {&entry.unit, 1}));
      units.push_back({entry.unit, lane_ledgers_of(images.front())});
    }
  }
  return units;
}

// By lane: the ledger that the order makes, at every clock at which some unit stands.
Result<std::vector<std::map<Clock, uint64_t>>> expected_ledgers(
    OrderReplay& replay, const std::vector<UnitLedger>& units) {
  RowCounter counter;
  uint64_t rows = 0;
  std::vector<std::map<Clock, uint64_t>> expected;
  for (uint32_t lane = 0; lane < replay.schedule().lanes(); ++lane) {
    std::set<Clock> nexts;
    for (const UnitLedger& unit : units) nexts.insert(unit.lanes.at(lane).next);
    BALLAST_ASSIGN(auto ledgers, replay.ledgers(LaneId(lane), nexts));
    expected.push_back(std::move(ledgers));
    for (Clock t = 0; t < std::min<Clock>(*nexts.rbegin(), replay.schedule().steps()); ++t) {
      rows += replay.schedule().samples_of(LaneId(lane), t);
    }
    counter(rows);
  }
  return expected;
}

Status verify_checkpoint(const std::string& run_dir, OrderReplay& replay, std::ostream& out) {
  BALLAST_ASSIGN(const NewestCheckpoint newest, newest_checkpoint(run_dir));
  const CheckpointManifest& manifest = newest.manifest;
  BALLAST_ASSIGN(const std::vector<UnitLedger> units, stored_ledgers(run_dir, manifest));
  const uint32_t lanes = replay.schedule().lanes();
  for (const UnitLedger& unit : units) {
    if (unit.lanes.size() == lanes) continue;
    return Status(Code::kNotFound,
                  fmt::format("checkpoint {} of {}: unit {} has the order ledger of {} lanes, "
                              "expected {}; one that an earlier version wrote or went on from "
                              "has none",
                              manifest.id, run_dir, unit.unit.value(), unit.lanes.size(), lanes));
  }
  BALLAST_ASSIGN(const auto expected, expected_ledgers(replay, units));
  for (const UnitLedger& unit : units) {
    for (uint32_t lane = 0; lane < lanes; ++lane) {
      const LaneLedger& found = unit.lanes[lane];
      if (found.sum == expected[lane].at(found.next)) continue;
      const std::string below =
          found.next == kNever ? "all of its steps" : fmt::format("its steps below {}", found.next);
      return Status(
          Code::kDataLoss,
          fmt::format("checkpoint {} of {}: unit {}, lane {}: ledger {} expected of {}, {} found: "
                      "it was trained on other rows than its config and data say",
                      manifest.id, run_dir, unit.unit.value(), lane,
                      hex64(expected[lane].at(found.next)), below, hex64(found.sum)));
    }
  }
  out << fmt::format(
      "checkpoint {}: order ledger {}; every step in its {} units, of {} lanes, was "
      "computed from the rows that config and data say\n",
      manifest.id, hex64(sum_of(ledger_of(manifest))), units.size(), lanes);
  return {};
}

}  // namespace

Status run_replay(const ReplayOptions& options, std::ostream& out) {
  BALLAST_ASSIGN(const JobConfig job, load_run(options.run_dir));
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, open_data_of(job, options));
  BALLAST_ASSIGN(OrderReplay replay, OrderReplay::open(job, dataset));
  if (options.step) BALLAST_RETURN_IF_ERROR(show_step(job, *dataset, replay, options, out));
  return options.verify ? verify_checkpoint(options.run_dir, replay, out) : Status();
}

void add_replay_command(CLI::App& data, Status& outcome) {
  const auto options = std::make_shared<ReplayOptions>();  // shared: lives with the callback
  CLI::App* command = data.add_subcommand("replay", "the rows that a step of a run was made from");
  command->add_option("run_dir", options->run_dir, "the run directory")->required();
  CLI::Option* step =
      command->add_option("--step", options->step, "which step, from 0, as messages name it")
          ->check(no_minus);
  command->add_option("--lane", options->lane, "only this lane")->check(no_minus)->needs(step);
  CLI::Option* out =
      command->add_option("--out", options->out, "make a data set of the rows there, no table");
  command->add_flag("--overwrite", options->overwrite, "replace a data set that is there")
      ->needs(out->needs(step));
  command
      ->add_option("--data", options->data,
                   "where the training data is, if it has moved; once for each set")
      ->allow_extra_args(false);
  CLI::Option* verify = command->add_flag(
      "--verify", options->verify,
      "compare the order ledgers of the newest checkpoint with the order of the data");
  command->final_callback([options, step, verify, &outcome] {
    if (!*step && !*verify) {
      outcome = Status(Code::kInvalidInput, "data replay: --step N or --verify expected");
      return;
    }
    outcome = run_replay(*options, std::cout);
  });
}

}  // namespace ballast
