// Question: do our matrix products reach the processor? The three products of a dense layer, one
// thread, against Eigen's with the cache sizes it detects, as a bare program would have them. The
// results are compared first. Bound: >= 1x of Eigen for each product of the two large layers, or it
// ends with 1.
//
//   gemm_bench [--smoke]
#include <fmt/format.h>

#include <Eigen/Core>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bench/micro/alternate.h"
#include "bench/micro/bounds.h"
#include "common/base/check.h"
#include "common/base/random.h"
#include "common/compute/cpu/gemm.h"

namespace ballast::bench {
namespace {

using EigenMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct Layer {
  uint32_t rows, in, out;
  bool large;  // must reach Eigen
};

struct Reached {
  std::string product;
  double of_eigen;
};

EigenMatrix random_matrix(uint32_t rows, uint32_t columns, uint64_t seed) {
  EigenMatrix matrix(rows, columns);
  for (uint32_t i = 0; i < rows * columns; ++i) {
    matrix.data()[i] = static_cast<float>(2 * unit_double(hash_numbers({seed, i})) - 1);
  }
  return matrix;
}

Matrix view(EigenMatrix& m) {
  return {m.data(), static_cast<uint32_t>(m.rows()), static_cast<uint32_t>(m.cols())};
}

// Float sums in another order: within a few roundings of the length of a sum.
void verify(const EigenMatrix& found, const EigenMatrix& expected, uint32_t inner) {
  const float apart = (found - expected).cwiseAbs().maxCoeff();
  BALLAST_CHECK_MSG(apart <= 4e-7f * static_cast<float>(inner), fmt::format("apart by {}", apart));
}

std::vector<Reached> run(const Layer& layer, int rounds) {
  cpu::Gemm gemm(1);
  EigenMatrix x = random_matrix(layer.rows, layer.in, 1), w = random_matrix(layer.in, layer.out, 2),
              dz = random_matrix(layer.rows, layer.out, 3);
  EigenMatrix y(layer.rows, layer.out), dw(layer.in, layer.out), dx(layer.rows, layer.in);
  EigenMatrix eigen_y = y, eigen_dw = dw, eigen_dx = dx;
  const double flops = 2.0 * layer.rows * layer.in * layer.out;
  const int repeats = std::max(1, static_cast<int>(1e9 / flops));
  const auto repeated = [repeats](auto product) {
    return [repeats, product] {
      for (int i = 0; i < repeats; ++i) product();
    };
  };
  const std::vector<Timing> timings = alternate(
      {{"y = x w, Eigen", repeated([&] { eigen_y.noalias() = x * w; })},
       {"y = x w", repeated([&] { gemm.multiply(view(x), view(w), view(y)); })},
       {"dw = x^T dz, Eigen", repeated([&] { eigen_dw.noalias() = x.transpose() * dz; })},
       {"dw = x^T dz", repeated([&] { gemm.multiply_at_b(view(x), view(dz), view(dw)); })},
       {"dx = dz w^T, Eigen", repeated([&] { eigen_dx.noalias() = dz * w.transpose(); })},
       {"dx = dz w^T", repeated([&] { gemm.multiply_a_bt(view(dz), view(w), view(dx)); })}},
      rounds);
  verify(y, eigen_y, layer.in);
  verify(dw, eigen_dw, layer.rows);
  verify(dx, eigen_dx, layer.out);

  fmt::print("{} rows, {} -> {}\n", layer.rows, layer.in, layer.out);
  std::vector<Reached> reached;
  for (size_t i = 1; i < timings.size(); i += 2) {
    const double ours = timings[i].median_seconds, eigen = timings[i - 1].median_seconds;
    fmt::print("  {:<12} {:>7.1f} GFLOP/s, Eigen {:>7.1f}: {:.2f}x\n", timings[i].name,
               flops * repeats / ours * 1e-9, flops * repeats / eigen * 1e-9, eigen / ours);
    reached.push_back(
        {fmt::format("{} -> {}, {}", layer.in, layer.out, timings[i].name), eigen / ours});
  }
  return reached;
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  const bool smoke = argc == 2 && std::string_view(argv[1]) == "--smoke";
  if (!smoke && argc != 1) {
    std::fprintf(stderr, "usage: gemm_bench [--smoke]\n");
    return 2;
  }
  using ballast::bench::Layer;
  const std::vector<Layer> layers = smoke ? std::vector<Layer>{{16, 20, 12, true}}
                                          : std::vector<Layer>{{256, 784, 512, true},
                                                               {256, 512, 256, true},
                                                               {256, 256, 10, false},
                                                               {16, 784, 512, false}};
  fmt::print("{}\n", ballast::cpu::Gemm::tiles());
  std::vector<ballast::bench::Reached> judged;
  for (const Layer& layer : layers) {
    for (auto& reached : ballast::bench::run(layer, smoke ? 2 : 11)) {
      if (layer.large) judged.push_back(std::move(reached));
    }
  }
  ballast::bench::Bounds bounds(smoke);
  for (const auto& [product, of_eigen] : judged) bounds.at_least(product, of_eigen, 1);
  return bounds.exit_code();
}
