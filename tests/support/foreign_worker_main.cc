// foreign-worker --run-dir DIR --index N: the worker of a build whose protocol begins where ours
// ends. The real session and a real connection; only what it says of its protocol is changed, in
// its Join and on each envelope. Run by tests/process: how a refusal looks on both sides.
#include <flatbuffers/flatbuffers.h>
#include <unistd.h>

#include <optional>

#include "common/base/log.h"
#include "common/base/process.h"
#include "common/config/endpoints.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "common/net/zeromq_transport.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/wire/codec.h"
#include "schemas/control_generated.h"
#include "worker/session.h"

namespace ballast::testing {
namespace {

constexpr uint32_t kForeign = wire::kProtocolMax + 1;
constexpr Duration kPatience = 20s;  // the test fails later

SessionConfig config_of(const Process& process, const JobConfig& job, Incarnation incarnation) {
  SessionConfig config;
  config.worker = WorkerId(process.index);
  config.incarnation = incarnation;
  config.job = job;
  config.parameters = parameters_of(job.model, job.resolved.input_width);
  config.units = cut_units(config.parameters, job.cluster.unit_bytes);
  config.job_hash = job_hash(job);
  config.run = run_number(job);
  config.host = host_name();
  config.process = static_cast<uint32_t>(::getpid());
  return config;
}

Message foreign(wire::Any any) {
  if (auto* join = std::get_if<wire::Join>(&any)) {
    join->protocol_min = join->protocol_max = kForeign;
  }
  Message message = wire::encode(any);
  Buffer envelope = Buffer::copy_of(std::as_const(message.envelope).bytes());
  using Field = wire::fb::ControlEnvelope;
  flatbuffers::GetMutableRoot<flatbuffers::Table>(envelope.data())
      ->SetField<uint32_t>(Field::VT_PROTOCOL, kForeign, 0);
  message.envelope = std::move(envelope);
  return message;
}

Status join_and_wait(Process& process) {
  BALLAST_ASSIGN(const JobConfig job, load_job("config.toml"));
  const Peer self{Role::kWorker, process.index, new_incarnation()};
  const std::unique_ptr<Transport> transport = make_zeromq_transport(self);
  BALLAST_RETURN_IF_ERROR(
      transport->connect({Role::kCoordinator, 0, 0}, coordinator_endpoint(job)));
  WorkerSession session(config_of(process, job, self.incarnation));
  SessionEffects effects;
  const Time deadline = monotonic_now() + kPatience;
  session.start(monotonic_now(), effects);
  while (monotonic_now() < deadline) {
    for (SessionEffect& effect : effects) {
      if (auto* send = std::get_if<session_effect::Send>(&effect)) {
        (void)transport->send(send->to, foreign(std::move(send->message)));
      } else if (auto* fail = std::get_if<session_effect::Fail>(&effect)) {
        return fail->status;
      } else if (auto* end = std::get_if<session_effect::End>(&effect)) {
        return wire::end_status(end->kind, end->reason);
      }
    }
    effects.clear();
    auto event = transport->receive(monotonic_now() + 100ms);
    const Time now = monotonic_now();
    if (!event) {
      session.handle(session_event::Tick{}, now, effects);
    } else if (auto* up = std::get_if<PeerUp>(&*event)) {
      session.handle(session_event::PeerUp{up->peer}, now, effects);
    } else if (auto* in = std::get_if<MessageIn>(&*event)) {
      BALLAST_ASSIGN(wire::Any message, wire::decode(std::move(in->message)));
      session.handle(session_event::Received{in->from, std::move(message)}, now, effects);
    }
  }
  return Status(Code::kDeadline, "nobody answered the join");
}

}  // namespace
}  // namespace ballast::testing

int main(int argc, char** argv) {
  return ballast::run_process("worker", argc, argv, ballast::testing::join_and_wait);
}
