/* golden WEIGHT_FILE REQUESTS: checks that the requests give the expected answers, in both load modes. */

#include "golden.h"

int main(int argc, char **argv) {
  const OmomiLoadMode modes[] = {OMOMI_LOAD_MODE_MAP, OMOMI_LOAD_MODE_COPY};
  size_t index, count = 0;
  CHECK(argc == 3);
  CHECK(omomi_abi_version() == OMOMI_ABI_VERSION);
  for (index = 0; index < 2; index++) {
    OmomiError error = OMOMI_ERROR_INIT;
    OmomiOpenOptions options = OMOMI_OPEN_OPTIONS_INIT;
    OmomiModel *model;
    options.load_mode = modes[index];
    EXPECT(OK, omomi_model_open(omomi_c_text(argv[1]), &options, &model, &error));
    count += golden_check_all(argv[2], model);
    omomi_model_close(model);
  }
  printf("%zu requests\n", count);
  return 0;
}
