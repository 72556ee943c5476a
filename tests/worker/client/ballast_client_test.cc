#include "worker/client/ballast_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "tests/common/storage/temporary_folder.h"
#include "tests/support/known_weights.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BallastClient : public ::testing::Test {
 protected:
  ~BallastClient() override { ballast_client_close(client_); }

  void open_run() {
    std::ofstream(folder_.path() + "/config.toml") << dump_job(one_layer_job(64, 50));
    ASSERT_EQ(ballast_client_open(folder_.path().c_str(), &client_), BALLAST_OK)
        << ballast_client_error(client_);
  }

  TemporaryFolder folder_;
  ballast_client* client_ = nullptr;
};

TEST_F(BallastClient, ListsTheTensorsOfTheJob) {
  open_run();
  ballast_tensor tensor;

  ASSERT_EQ(ballast_client_tensor_count(client_), 2u);
  ASSERT_EQ(ballast_client_tensor(client_, 0, &tensor), BALLAST_OK);

  EXPECT_STREQ(tensor.name, "layer0.weight");
  EXPECT_THAT(std::vector<uint64_t>(tensor.shape, tensor.shape + tensor.rank), ElementsAre(64, 50));
  EXPECT_EQ(tensor.element_count, 3200u);
  EXPECT_EQ(tensor.unit_count, 4u);  // 12.8 kB in units of 4 KiB
  EXPECT_EQ(ballast_client_tensor(client_, 2, &tensor), BALLAST_INVALID);
}

TEST_F(BallastClient, SaysThatNobodyAnswersWithoutACluster) {
  open_run();
  std::vector<float> values(50);

  EXPECT_EQ(ballast_client_pull(client_, 1, BALLAST_NEWEST, 30, values.data(), 50, nullptr),
            BALLAST_DEADLINE);

  EXPECT_THAT(ballast_client_error(client_), HasSubstr("is the job running?"));
}

TEST_F(BallastClient, RefusesRoomThatDoesNotFitTheTensor) {
  open_run();
  std::vector<float> values(49);

  EXPECT_EQ(ballast_client_pull(client_, 1, BALLAST_NEWEST, 30, values.data(), 49, nullptr),
            BALLAST_INVALID);

  EXPECT_THAT(ballast_client_error(client_), HasSubstr("layer0.bias has 50 elements"));
}

TEST_F(BallastClient, NamesARunDirectoryThatIsNotThere) {
  EXPECT_EQ(ballast_client_open("/nowhere/at/all", &client_), BALLAST_INVALID);

  EXPECT_THAT(ballast_client_error(client_), HasSubstr("/nowhere/at/all/config.toml"));
  EXPECT_EQ(ballast_client_tensor_count(client_), 0u);
}

}  // namespace
}  // namespace ballast
