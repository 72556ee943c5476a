#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/contract/backend/backend_contract.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using testing::Floats;
using ::testing::HasSubstr;

class BackendMemory : public testing::BackendContract {};
INSTANTIATE_TEST_SUITE_P(All, BackendMemory, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

TEST_P(BackendMemory, SaysWhatItIs) {
  EXPECT_THAT(backend_->description(), HasSubstr(GetParam().instruction_set));
  EXPECT_THAT(backend_->arithmetic(), HasSubstr(GetParam().instruction_set));
  EXPECT_EQ(backend_->arithmetic().find("thread"), std::string::npos) << "no bit depends on them";
}

TEST_P(BackendMemory, AllocatesZeros) {
  auto memory = backend_->allocate(1000);
  ASSERT_TRUE(memory.ok());
  EXPECT_EQ(memory->floats(), 1000u);
  EXPECT_THAT(get(memory->matrix(10, 100)), Each(0.0f));
}

TEST_P(BackendMemory, BringsBackWhatWasUploaded) {
  const Floats values = random_floats(77 * 13);
  EXPECT_EQ(get(put(values, 77, 13)), values);
}

TEST_P(BackendMemory, HostMemoryServesTransfers) {
  Buffer host = backend_->allocate_host(64 * sizeof(float));
  ASSERT_EQ(host.size(), 64 * sizeof(float));
  for (size_t i = 0; i < 64; ++i) host.floats()[i] = static_cast<float>(i);
  const Matrix device = room(1, 64);
  backend_->upload(stream_, host.floats(), device);
  const Floats found = get(device);
  for (size_t i = 0; i < 64; ++i) EXPECT_EQ(found[i], static_cast<float>(i));
}

TEST_P(BackendMemory, ADeviceAddressIsTheHostMemoryItself) {
  Buffer host = backend_->allocate_host(4 * sizeof(float));
  float* address = backend_->device_address(host.floats().data());
  if (address == nullptr) return;  // a device of its own
  host.floats()[2] = 5;
  EXPECT_EQ(get({address, 1, 4})[2], 5.0f);
}

TEST_P(BackendMemory, AStreamWaitsForTheEventOfAnother) {
  const StreamId second = backend_->create_stream();
  const EventId uploaded = backend_->create_event();
  EXPECT_TRUE(backend_->happened(uploaded));  // never recorded
  const Floats values = random_floats(4096);
  const Matrix device = room(1, 4096);
  Floats found(4096);

  backend_->upload(stream_, values, device);
  backend_->record(uploaded, stream_);
  backend_->wait(second, uploaded);
  backend_->download(second, device, found);
  ASSERT_TRUE(backend_->synchronize(second).ok());

  EXPECT_EQ(found, values);
  EXPECT_TRUE(backend_->happened(uploaded));
  EXPECT_TRUE(backend_->synchronize(uploaded).ok());
}

TEST_P(BackendMemory, TimedEventsTellWhenTheDeviceDidTheWork) {
  const EventId before = backend_->create_timed_event();
  const EventId between = backend_->create_timed_event();
  const EventId after = backend_->create_timed_event();
  EXPECT_TRUE(backend_->happened(before));  // never recorded
  const Floats values = random_floats(256 * 256);
  const Matrix a = put(values, 256, 256), b = put(values, 256, 256), c = room(256, 256);

  const Time started = monotonic_now();
  backend_->record(before, stream_);
  backend_->dense_forward(stream_, a, b, {}, Activation::kNone, {}, c);
  backend_->record(between, stream_);
  backend_->dense_forward(stream_, a, b, {}, Activation::kNone, {}, c);
  backend_->record(after, stream_);
  ASSERT_TRUE(backend_->synchronize(after).ok());
  const Duration passed = monotonic_now() - started;

  // A product of 256^3 is 16 M multiplications: no device has done it within a microsecond.
  const Duration first = backend_->between(before, between);
  const Duration second = backend_->between(between, after);
  const Duration both = backend_->between(before, after);
  EXPECT_GT(first, 1us);
  EXPECT_GT(second, 1us);
  // Steps of the device's clock.
  EXPECT_NEAR(to_seconds(both), to_seconds(first + second), 2e-6);
  EXPECT_LE(both, passed + 2us);
  EXPECT_EQ(backend_->between(before, before), Duration{});
}

TEST_P(BackendMemory, ATimedEventKeepsItsLastRecord) {
  const EventId first = backend_->create_timed_event();
  const EventId second = backend_->create_timed_event();
  const Floats values = random_floats(256 * 256);
  const Matrix a = put(values, 256, 256), c = room(256, 256);

  backend_->record(first, stream_);
  backend_->record(second, stream_);
  ASSERT_TRUE(backend_->synchronize(stream_).ok());
  const Duration early = backend_->between(first, second);
  backend_->dense_forward(stream_, a, a, {}, Activation::kNone, {}, c);
  backend_->record(second, stream_);
  ASSERT_TRUE(backend_->synchronize(stream_).ok());

  EXPECT_GT(backend_->between(first, second), early);
}

TEST_P(BackendMemory, RangesOfAProfilerNestAndChangeNothing) {
  const Floats values = random_floats(64);

  backend_->begin_range("step", 3);
  backend_->begin_range("upload", 0);
  const Matrix device = put(values, 1, 64);
  backend_->end_range();
  backend_->end_range();

  EXPECT_EQ(get(device), values);
}

TEST_P(BackendMemory, AGraphDoesItsOperationsAgainOnWhatItsMemoryHolds) {
  if (!backend_->has_graphs()) return;
  const Floats values = random_floats(33);
  const Matrix x = put(values, 1, 33), sum = put(Floats(33, 0.0f), 1, 33);
  const auto expect_sum = [&](float times) {
    Floats expected;
    for (float value : values) expected.push_back(times * value);
    const Floats found = get(sum);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-4) << i;
  };
  backend_->add(stream_, x, sum);

  const Floats zeros(33, 0.0f);
  ASSERT_TRUE(backend_->begin_graph(stream_));
  backend_->add(stream_, x, sum);
  backend_->add(stream_, x, sum);
  const std::optional<GraphId> graph = backend_->end_graph(stream_);

  ASSERT_TRUE(graph.has_value());
  expect_sum(1);  // kept, not done
  backend_->launch(stream_, *graph);
  backend_->launch(stream_, *graph);
  expect_sum(5);
  backend_->upload(stream_, zeros, x);
  backend_->launch(stream_, *graph);
  expect_sum(5);
}

// A larger product needs more memory beside the stream's: what the graph uses stays its own.
TEST_P(BackendMemory, AGraphOfAProductAndOthersStayRightAfterALargerProduct) {
  if (!backend_->has_graphs()) return;
  const Matrix w = put(random_floats(24 * 17), 24, 17);
  const Matrix x = put(random_floats(5 * 24), 5, 24), y = room(5, 17);
  const Matrix large = put(random_floats(900 * 300), 900, 300), out = room(900, 900);
  const auto multiply = [&] {
    backend_->dense_forward(stream_, x, w, {}, Activation::kRelu, {}, y);
  };
  multiply();
  const Floats expected = get(y);
  ASSERT_TRUE(backend_->begin_graph(stream_));
  multiply();
  const std::optional<GraphId> graph = backend_->end_graph(stream_);
  ASSERT_TRUE(graph.has_value());

  backend_->dense_forward(stream_, large, put(random_floats(300 * 900), 300, 900), {},
                          Activation::kNone, {}, out);
  // As large as what the small product needed, so that they would come to lie where it lay.
  const Floats others(24 * 17 / 2, 3.0f), sevens(y.size(), 7.0f);
  std::vector<Matrix> neighbours;
  for (int i = 0; i < 16; ++i) neighbours.push_back(put(others, 1, 24 * 17 / 2));
  backend_->upload(stream_, sevens, y);
  backend_->launch(stream_, *graph);

  EXPECT_EQ(get(y), expected);
  for (const Matrix& neighbour : neighbours) EXPECT_EQ(get(neighbour), others);
}

TEST_P(BackendMemory, FindsOneBadValueAnywhere) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (uint32_t size : {1u, 7u, 64u, 1000u}) {
    Floats values = random_floats(size, 1e30);
    values[size / 2] = std::numeric_limits<float>::max();
    const Matrix found = room(1, 1);
    backend_->find_non_finite(stream_, put(values, 1, size), found);
    EXPECT_EQ(get(found)[0], 0.0f);
    for (float bad : {infinity, -infinity, nan, -nan}) {
      for (uint32_t at : {0u, size / 3, size - 1}) {
        Floats broken = values;
        broken[at] = bad;
        backend_->find_non_finite(stream_, put(broken, 1, size), found);
        EXPECT_EQ(get(found)[0], 1.0f) << bad << " at " << at << " of " << size;
      }
    }
  }
}

TEST(BackendFactory, OpensTheCpuWithTheBestInstructionSet) {
  const auto backend = make_backend(Device::kCpu, {});

  ASSERT_TRUE(backend.ok()) << backend.status().to_string();
  ASSERT_TRUE(check_device(Device::kCpu).ok());
  EXPECT_THAT((*backend)->description(), HasSubstr(cpu::instruction_sets().front()));
}

TEST_P(BackendMemory, AddsElementByElement) {
  for (uint32_t size : {1u, 7u, 64u, 100'001u}) {
    const Floats x = random_floats(size);
    const Floats before = random_floats(size);
    const Matrix into = put(before, 1, size);

    backend_->add(stream_, put(x, 1, size), into);

    const Floats sums = get(into);
    for (size_t i = 0; i < size; ++i) ASSERT_EQ(sums[i], before[i] + x[i]) << i << " of " << size;
  }
}

TEST(BackendFactory, SaysWhatToSetForADeviceThatIsNotThere) {
  if (check_device(Device::kCuda).ok()) GTEST_SKIP() << "there is a GPU";
  const auto backend = make_backend(Device::kCuda, {});

  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.status().code(), Code::kInvalidInput);
  EXPECT_THAT(backend.status().to_string(),
              AllOf(HasSubstr("device cuda"), HasSubstr("set cluster.device = \"cpu\"")));
}

}  // namespace
}  // namespace ballast
