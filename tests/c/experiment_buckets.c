/* experiment_buckets VECTORS: compares the buckets of units with the vector file that every implementation reads. */

#include "vectors.h"

enum { COLUMNS = 5 };

static size_t id_count = 0, text_count = 0;

static void check_vector(char *line) {
  char *columns[COLUMNS];
  const size_t count = split(line, columns, COLUMNS);
  const int is_id = strcmp(columns[0], "id") == 0, is_text = strcmp(columns[0], "text") == 0;
  uint64_t salt, value;
  if (!is_id && !is_text)
    return;
  CHECK(count == (is_id ? 4u : 5u));
  salt = strtoull(columns[1], NULL, 10);
  value = is_id ? (uint64_t)strtoll(columns[2], NULL, 10) : value_of_text(columns[2]);
  CHECK(omomi_experiment_bucket(salt, value) == strtoull(columns[3], NULL, 10));
  *(is_id ? &id_count : &text_count) += 1;
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  each_vector(argv[1], check_vector);
  printf("%zu ids, %zu texts\n", id_count, text_count);
  return 0;
}
