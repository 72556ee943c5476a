/* Reads the weights of a running Ballast job from any language that can call C: list the tensors,
 * pull them, as often as wished. The job does not wait for a reader and does not notice when it
 * goes away. A reader runs where the run directory can be read (and, over ipc, its sockets).
 *
 * One thread per handle. Strings and shapes belong to the handle. Calls block for timeout_ms at
 * most. Every call that can fail returns a code; ballast_client_error() has the words. */
#ifndef BALLAST_CLIENT_H
#define BALLAST_CLIENT_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ballast_client ballast_client;

enum ballast_code {
  BALLAST_OK = 0,
  BALLAST_INVALID = 2,  /* an argument or the run directory is wrong; never retry */
  BALLAST_FAILED = 3,   /* a socket or memory; the words say what; a retry may help */
  BALLAST_DEADLINE = 4, /* not there in time: the version asked for, or the job itself, which may
                         * be away for a moment or dead; the words say who did not answer */
  BALLAST_PASSED = 5,   /* sync: that version is gone; ask for a later one */
  BALLAST_ENDED = 6     /* the job has ended and left its model or its checkpoints; this handle
                         * gives nothing any more, also when the job is resumed */
};

#define BALLAST_NEWEST UINT64_MAX

typedef struct {
  const char* name;      /* "layer0.weight" */
  const uint64_t* shape; /* row-major */
  size_t rank;
  uint64_t element_count;
  size_t unit_count; /* parts that have a version of their own */
} ballast_tensor;

/* Of the oldest and the newest unit pulled. Sync: steps closed; async, ssp: updates applied. */
typedef struct {
  uint64_t least;
  uint64_t highest;
} ballast_versions;

/* Reads RUN_DIR/config.toml and starts to connect. *client is set also on failure, so that its
 * error can be read, and must be closed. */
int ballast_client_open(const char* run_dir, ballast_client** client);
void ballast_client_close(ballast_client* client);

/* Of the last call that failed; never NULL. */
const char* ballast_client_error(const ballast_client* client);

size_t ballast_client_tensor_count(const ballast_client* client);
int ballast_client_tensor(ballast_client* client, size_t index, ballast_tensor* tensor);

/* Tensor `index` into values[value_count], value_count = element_count. version: BALLAST_NEWEST, or
 * in sync a step to wait for. versions may be NULL. */
int ballast_client_pull(ballast_client* client, size_t index, uint64_t version, uint32_t timeout_ms,
                        float* values, uint64_t value_count, ballast_versions* versions);

/* Every tensor, values[i] being room for tensor i. Sync: all of one version. */
int ballast_client_pull_model(ballast_client* client, uint32_t timeout_ms, float* const* values,
                              ballast_versions* versions);

#ifdef __cplusplus
}
#endif

#endif
