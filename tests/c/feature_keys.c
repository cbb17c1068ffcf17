/* feature_keys VECTORS: compares the library's feature keys with the vector file that every implementation reads. */

#include "vectors.h"

enum { COLUMNS = 7, MEMBERS = 4 };

static uint64_t hexadecimal(const char *text) { return strtoull(text, NULL, 16); }

static void check_vector(char *line) {
  char *columns[COLUMNS], *word;
  uint64_t key;
  CHECK(split(line, columns, COLUMNS) == COLUMNS);
  if (strcmp(columns[6], "-") == 0)
    return;
  if (strcmp(columns[0], "cross") == 0) {
    uint64_t members[MEMBERS];
    size_t count = 0;
    for (word = strtok(columns[3], ","); word != NULL; word = strtok(NULL, ",")) {
      CHECK(count < MEMBERS);
      members[count++] = hexadecimal(word);
    }
    EXPECT(OK, omomi_cross_key(omomi_c_text(columns[1]), members, count, &key, &error));
  } else {
    const uint64_t value = hexadecimal(columns[5]);
    if (strcmp(columns[0], "id") == 0)
      CHECK((uint64_t)strtoll(columns[3], NULL, 10) == value);
    if (strcmp(columns[0], "text") == 0)
      CHECK(value_of_text(columns[3]) == value);
    EXPECT(OK, omomi_feature_key(omomi_c_text(columns[1]), value, &key, &error));
  }
  CHECK(key == hexadecimal(columns[6]));
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  printf("%zu vectors\n", each_vector(argv[1], check_vector));
  return 0;
}
