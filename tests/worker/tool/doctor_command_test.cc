#include "worker/tool/doctor_command.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/compute/backend.h"
#include "common/config/job_file.h"
#include "tests/worker/tool/run_folder.h"
#include "worker/tool/settings_check.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

Findings no_data_findings(const JobConfig&) {
  return {};
}

class Doctor : public RunFolder {
 protected:
  // The small job on a machine with plenty of everything.
  void SetUp() override {
    RunFolder::SetUp();
    job_ = resolve_job(options_, data_).value();
    facts_.free_disk_bytes = 1ull << 40;
    facts_.file_descriptors_max = 1024;
    facts_.available_memory_bytes = 1ull << 40;
    facts_.cores = 8;
    facts_.run_dir = "/runs/small";
  }

  std::string findings() {
    std::string text;
    for (const Finding& finding : judge_host(job_, facts_)) {
      text += (finding.stops ? "problem: " : "note: ") + finding.text + "\n";
    }
    return text;
  }

  JobConfig job_;
  HostFacts facts_;
};

TEST_F(Doctor, FindsNothingOnARoomyMachine) {
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(Doctor, NamesEachThingThatIsShort) {
  facts_.free_disk_bytes = 1000;
  facts_.file_descriptors_max = 32;
  facts_.available_memory_bytes = 1000;
  facts_.cores = 1;
  facts_.run_dir_writable = false;
  facts_.tmp_writable = false;

  EXPECT_THAT(findings(), HasSubstr("problem: /runs/small: 0.00 MiB free, but 3 checkpoints need"));
  EXPECT_THAT(findings(), HasSubstr("problem: /runs/small: no permission to write"));
  EXPECT_THAT(findings(), HasSubstr("problem: /tmp: no permission"));
  EXPECT_THAT(findings(), HasSubstr("problem: file descriptors: the limit is 32"));
  EXPECT_THAT(findings(), HasSubstr("problem: memory: the job needs"));
  EXPECT_THAT(findings(),
              HasSubstr("note: 4 computing threads (workers and shards) share 1 cores"));
}

TEST_F(Doctor, RefusesARunDirectoryTooLongForSocketsOnlyWithIpc) {
  facts_.run_dir = "/" + std::string(120, 'x');
  EXPECT_THAT(findings(), HasSubstr("too long for sockets"));

  job_.cluster.transport = TransportKind::kTcp;
  EXPECT_THAT(findings(), IsEmpty());
}

TEST_F(Doctor, RefusesARunDirectoryThatIsUsedOrBehindAFile) {
  const std::string file = folder_ / "file";
  std::ofstream(file) << "x";

  facts_ = read_host_facts(job_, file + "/run");
  EXPECT_THAT(findings(), HasSubstr("problem: " + file + "/run: " + file + " is not a folder"));

  facts_ = read_host_facts(job_, file);
  EXPECT_THAT(findings(), HasSubstr("problem: " + file + ": not a folder; choose another"));

  facts_.run_dir_writable = false;
  EXPECT_THAT(findings(), Not(HasSubstr("no permission"))) << "one problem is told once";

  facts_ = read_host_facts(job_, folder_);
  EXPECT_THAT(findings(), HasSubstr("not empty, and a run directory is never reused"));
}

TEST_F(Doctor, SaysWhatTheDataJudgeFoundProblemsFirst) {
  const DataJudge judge = [](const JobConfig&) {
    return Findings{{false, "labels were not read"}, {true, "chunk 3 is gone"}};
  };

  const Status status = run_doctor(options_, data_, judge, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(out_.str(), testing::StartsWith("problem: chunk 3 is gone\nnote: labels"));
}

TEST_F(Doctor, NamesADeviceThatIsNotHereBesideTheRest) {
  if (check_device(Device::kCuda).ok()) GTEST_SKIP() << "a GPU is here";
  options_.overrides = {"cluster.device=cuda"};
  const DataJudge judge = [](const JobConfig&) { return Findings{{true, "chunk 3 is gone"}}; };

  const Status status = run_doctor(options_, data_, judge, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("problem: device cuda"), HasSubstr("chunk 3 is gone")));
}

TEST_F(Doctor, NotesABatchThatTheDataCannotFillAndShardsWithoutUnits) {
  EXPECT_THAT(judge_settings(job_), IsEmpty());

  job_.train.batch = 2000;
  job_.cluster.servers = 9;
  const Findings notes = judge_settings(job_);

  ASSERT_EQ(notes.size(), 2u);
  EXPECT_THAT(notes[0].text, HasSubstr("train.batch = 2000 is more than the 1000 rows"));
  EXPECT_THAT(notes[1].text,
              HasSubstr("5 of 9 shards have nothing to hold: the model has 4 units"));
  EXPECT_FALSE(notes[0].stops || notes[1].stops);
}

TEST_F(Doctor, NotesWorkersThatTakeMoreOfAGpuThanThereIs) {
  job_.cluster.device = Device::kCuda;
  job_.cluster.workers = 4;
  EXPECT_THAT(judge_settings(job_), IsEmpty()) << "how many GPUs there are is not known";
  job_.cluster.devices = 4;
  EXPECT_THAT(judge_settings(job_), IsEmpty());
  job_.cluster.devices = 2;

  const Findings notes = judge_settings(job_);

  ASSERT_EQ(notes.size(), 1u);
  EXPECT_EQ(notes[0].text,
            "2 workers share a GPU, and each may take 100 % of its memory: set "
            "cluster.device_memory to at most 0.5, or the last may find none left");
  job_.cluster.device_memory = 0.5;
  EXPECT_THAT(judge_settings(job_), IsEmpty());
  job_.cluster.workers = 12;
  EXPECT_THAT(judge_settings(job_).at(0).text, HasSubstr("device_memory to at most 0.166,"));
  job_.cluster.device_memory = 0.166;
  EXPECT_THAT(judge_settings(job_), IsEmpty()) << "what it advised";
}

TEST_F(Doctor, AsksForAJobWhenItHasNone) {
  options_.job_path.clear();

  const Status status = run_doctor(options_, data_, no_data_findings, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_EQ(status.to_string(), "doctor: which job? expected JOB.toml or --resume RUNDIR");
  EXPECT_EQ(out_.str(), "");
}

TEST_F(Doctor, SaysWhyThereIsNothingToResume) {
  options_.job_path.clear();
  options_.resume = folder_ / "nowhere";

  const Status status = run_doctor(options_, data_, no_data_findings, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(out_.str(), HasSubstr("nowhere: nothing to resume: no such folder"));
}

TEST_F(Doctor, PrintsEveryProblemOfTheConfigOnItsLine) {
  options_.overrides = {"train.batch=0", "cluster.bogus=1"};

  const Status status = run_doctor(options_, data_, no_data_findings, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("small.toml: 2 problems"));
  EXPECT_THAT(out_.str(), HasSubstr("problem: --set train.batch=0: train.batch = 0 is out of"));
  EXPECT_THAT(out_.str(), HasSubstr("\nproblem: --set cluster.bogus=1: unknown key"));
}

TEST_F(Doctor, EndsWithTheMemorySum) {
  const Status status = run_doctor(options_, data_, no_data_findings, out_);

  EXPECT_TRUE(status.ok()) << out_.str();
  EXPECT_THAT(out_.str(), HasSubstr("no problem found\nmemory of a server (2 of them): "));
}

// A listening socket on any free port, for the time of a test.
class TakenPort {
 public:
  TakenPort() : fd_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(listen(fd_, 1), 0);
    EXPECT_EQ(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin_port);
  }
  ~TakenPort() { close(fd_); }
  TakenPort(const TakenPort&) = delete;
  TakenPort& operator=(const TakenPort&) = delete;

  [[nodiscard]] uint32_t port() const { return port_; }

 private:
  int fd_;
  uint32_t port_ = 0;
};

TEST_F(Doctor, NamesAPortThatIsInUse) {
  const TakenPort taken;
  job_.cluster.transport = TransportKind::kTcp;
  job_.cluster.port = taken.port();

  const HostFacts facts = read_host_facts(job_, options_.run_dir);

  EXPECT_THAT(facts.used_ports, testing::Contains(taken.port()));
  facts_.used_ports = {taken.port()};
  EXPECT_THAT(findings(),
              HasSubstr("127.0.0.1:" + std::to_string(taken.port()) + " cannot be listened on"));
}

TEST_F(Doctor, ReadsThisMachine) {
  const HostFacts facts = read_host_facts(job_, folder_ / "not/yet/there");

  EXPECT_GT(facts.free_disk_bytes, 0u);
  EXPECT_GT(facts.file_descriptors_max, 0u);
  EXPECT_GT(facts.available_memory_bytes, 0u);
  EXPECT_GE(facts.cores, 1u);
  EXPECT_TRUE(facts.run_dir_writable);
  EXPECT_THAT(facts.used_ports, IsEmpty());
}

}  // namespace
}  // namespace ballast
