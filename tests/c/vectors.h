/* Reads the files of test vectors that every implementation reads: a vector on each line, columns separated by tabs. */

#include "check.h"
#include <inttypes.h>

enum { LINE_LEN_BYTES = 65536 };

static OmomiError error = OMOMI_ERROR_INIT;

/* Returns the value of a text whose bytes are given as hexadecimal digits. */
static uint64_t value_of_text(const char *hex) {
  static char bytes[LINE_LEN_BYTES];
  uint64_t value;
  size_t len = 0;
  for (; strcmp(hex, "-") != 0 && hex[2 * len] != 0; len++) {
    unsigned byte;
    CHECK(sscanf(hex + 2 * len, "%2x", &byte) == 1);
    bytes[len] = (char)(unsigned char)byte;
  }
  EXPECT(OK, omomi_text_value(omomi_text_of(bytes, len), &value, &error));
  return value;
}

/* Splits a line into at most `capacity` columns, and returns how many it has. Modifies the line. */
static size_t split(char *line, char **columns, size_t capacity) {
  size_t count = 0;
  int is_last = 0;
  while (!is_last) {
    const size_t len = strcspn(line, "\t\n");
    is_last = line[len] != '\t';
    line[len] = 0;
    if (count < capacity)
      columns[count] = line;
    count++;
    line += len + 1;
  }
  return count;
}

/* Calls `check` with each line that is not a comment, and returns how many there are. */
static size_t each_vector(const char *path, void (*check)(char *)) {
  static char line[LINE_LEN_BYTES];
  size_t count = 0;
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] != '#') {
      check(line);
      count++;
    }
  }
  fclose(file);
  return count;
}
