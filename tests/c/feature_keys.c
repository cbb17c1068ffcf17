/* feature_keys VECTORS: compares the library's feature keys with the vector file that every implementation reads. */

#include "check.h"
#include <inttypes.h>

enum { COLUMNS = 7, LINE_LEN_BYTES = 65536, MEMBERS = 4 };

static OmomiError error = OMOMI_ERROR_INIT;

static uint64_t hexadecimal(const char *text) { return strtoull(text, NULL, 16); }

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

/* Checks one line, and modifies it while parsing. */
static void check_vector(char *line) {
  char *columns[COLUMNS], *word = line;
  uint64_t key;
  size_t index;
  for (index = 0; index < COLUMNS; index++) {
    columns[index] = word;
    word += strcspn(word, "\t\n");
    CHECK(index + 1 == COLUMNS || *word == '\t');
    *word++ = 0;
  }
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
  static char line[LINE_LEN_BYTES];
  size_t count = 0;
  FILE *file;
  CHECK(argc == 2 && (file = fopen(argv[1], "r")) != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] != '#') {
      check_vector(line);
      count++;
    }
  }
  fclose(file);
  printf("%zu vectors\n", count);
  return 0;
}
