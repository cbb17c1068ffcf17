/* A shared library of a user, which contains the static library and has one function of its own. */

#include <omomi.h>

int plugin_opens(const char *path) {
  OmomiModel *model;
  if (omomi_model_open(omomi_c_text(path), NULL, &model, NULL) != OMOMI_STATUS_OK)
    return 0;
  omomi_model_close(model);
  return 1;
}
