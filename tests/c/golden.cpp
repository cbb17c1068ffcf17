// golden WEIGHT_FILE REQUESTS: does what golden.c does, with the handles in C++17 types.

#include "golden.h"

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

struct CloseModel {
  void operator()(OmomiModel *model) const noexcept { omomi_model_close(model); }
};

using Model = std::unique_ptr<OmomiModel, CloseModel>;

Model open(std::string_view path) {
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiModel *model = nullptr;
  if (omomi_model_open(omomi_text_of(path.data(), path.size()), nullptr, &model, &error) != OMOMI_STATUS_OK)
    throw std::runtime_error(std::string(omomi_owner_name(error.owner)) + ": " + error.message);
  return Model(model);
}

}  // namespace

int main(int argc, char **argv) {
  CHECK(argc == 3);
  try {
    open(std::string(argv[1]) + ".absent");
    CHECK(!"a file that is not there was opened");
  } catch (const std::runtime_error &error) {
    CHECK(std::string_view(error.what()).substr(0, 18) == "infra: cannot open");
  }
  const Model model = open(argv[1]);
  std::printf("%zu requests\n", golden_check_all(argv[2], model.get()));
  return 0;
}
