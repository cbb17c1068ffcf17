/* Checks for the clients: the first failing check prints its location and ends the client with status 1. */

#ifndef OMOMI_TESTS_CHECK_H
#define OMOMI_TESTS_CHECK_H

#include <omomi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                                              \
  do {                                                                                                                \
    if (!(condition)) {                                                                                               \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                         \
      exit(1);                                                                                                        \
    }                                                                                                                 \
  } while (0)

/* Checks that the call, which uses an error struct called `error`, returns OMOMI_STATUS_<name>. */
#define EXPECT(name, call)                                                                                            \
  do {                                                                                                                \
    const OmomiStatus found = (call);                                                                                 \
    if (found != OMOMI_STATUS_##name) {                                                                               \
      fprintf(stderr, "%s:%d: expected %s, found %s: %s\n", __FILE__, __LINE__, #name, omomi_status_name(found),      \
              error.message);                                                                                         \
      exit(1);                                                                                                        \
    }                                                                                                                 \
  } while (0)

/*
 * Checks that the call returns OMOMI_STATUS_<name>, and that the error struct has that status and a message with
 * `text`.
 */
#define EXPECT_SAYING(name, text, call)                                                                               \
  do {                                                                                                                \
    EXPECT(name, call);                                                                                               \
    if (error.status != OMOMI_STATUS_##name || error.owner != omomi_status_owner(error.status) ||                     \
        strstr(error.message, text) == NULL) {                                                                        \
      fprintf(stderr, "%s:%d: the error says %d, owner %u, `%s`\n", __FILE__, __LINE__, (int)error.status,            \
              (unsigned)error.owner, error.message);                                                                  \
      exit(1);                                                                                                        \
    }                                                                                                                 \
  } while (0)

/* Returns a block for a request of this layout. It lives until the client ends. */
static inline void *new_block(const OmomiLayoutInfo *info) {
  void *block = malloc(info->len_bytes);
  CHECK(block != NULL);
  return block;
}

#endif
