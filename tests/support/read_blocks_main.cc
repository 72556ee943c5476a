// read-blocks LOCATION CACHE MIB FEATURES LABEL PASSES AHEAD: reads all blocks of a data set, in
// another order each time, through the loader's own BlockStore and a cache, and prints a hash of
// all their rows. Run by tests/process and bench/system, which kill it.
#include <fmt/format.h>

#include <cstdio>
#include <numeric>
#include <string>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "worker/data/block_store.h"
#include "worker/data/dataset.h"

namespace ballast {
namespace {

uint64_t hash_of(const Dataset& dataset, const RowPlan& plan, const Block& block) {
  Hasher hasher;
  size_t column = 0;
  for (const ColumnPlan& each : plan.columns) {
    hasher.add(std::span(block.column(column++),
                         block.place().stored.rows * dataset.columns()[each.column].row_bytes()));
  }
  return hasher.digest();
}

Status read_blocks(char** words) {
  DataConfig config;
  const auto ahead = static_cast<uint32_t>(std::stoul(words[7]));
  config.cache = words[2];
  config.cache_mib = std::stoull(words[3]);
  config.features = {words[4]};
  config.label = words[5];
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset,
                 Dataset::open(words[1], access_of(config)));
  BALLAST_ASSIGN(const RowPlan plan, plan_rows(*dataset, config));
  BALLAST_ASSIGN(std::unique_ptr<Source> source, open_source(words[1], access_of(config)));
  BALLAST_ASSIGN(const std::unique_ptr<BlockStore> store,
                 BlockStore::open(dataset, plan, std::move(source), ahead + 2));
  Random random(1);
  std::vector<uint64_t> order(dataset->block_count());
  std::iota(order.begin(), order.end(), uint64_t{0});
  for (int pass = 0; pass < std::stoi(words[6]); ++pass) {
    uint64_t sum = 0;
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
    for (size_t i = 0; i < order.size(); ++i) {
      for (size_t next = i; next < std::min<size_t>(order.size(), i + ahead); ++next) {
        store->prefetch(order[next]);
      }
      BALLAST_ASSIGN(const std::shared_ptr<const Block> block, store->get(order[i]));
      sum += hash_of(*dataset, plan, *block);
    }
    fmt::print("{}\n", hex64(sum));
    std::fflush(stdout);
  }
  return {};
}

}  // namespace
}  // namespace ballast

int main(int count, char** words) {
  if (count != 8) {
    fmt::print(stderr, "read-blocks LOCATION CACHE MIB FEATURES LABEL PASSES AHEAD\n");
    return 2;
  }
  const ballast::Status status = ballast::read_blocks(words);
  if (!status.ok()) fmt::print(stderr, "{}\n", status.to_string());
  return ballast::exit_code(status);
}
