// SourceWorld: a place of each kind with objects in it, and sources that read them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "worker/data/source/source.h"

namespace ballast {

class SourceWorld {
 public:
  virtual ~SourceWorld() = default;
  virtual void put(const std::string& object, const std::string& bytes) = 0;
  // The object is there, and may not be read.
  virtual void forbid(const std::string& object) = 0;
  virtual std::unique_ptr<Source> open() = 0;
};

// One of world_kinds().
std::unique_ptr<SourceWorld> make_world(const std::string& kind);
std::vector<std::string> world_kinds();

}  // namespace ballast
