// A program in C++17 that opens the weight file and prints its generation.

#include <omomi.h>

#include <iostream>
#include <string_view>

int main(int argc, char **argv) {
  if (argc != 2)
    return 2;
  const std::string_view path = argv[1];
  OmomiError error = OMOMI_ERROR_INIT;
  OmomiModel *model = nullptr;
  if (omomi_model_open(omomi_text_of(path.data(), path.size()), nullptr, &model, &error) != OMOMI_STATUS_OK) {
    std::cerr << error.message << '\n';
    return 1;
  }
  OmomiModelInfo info = OMOMI_MODEL_INFO_INIT;
  if (omomi_model_info(model, &info, &error) == OMOMI_STATUS_OK)
    std::cout << "generation " << info.generation << '\n';
  omomi_model_close(model);
}
