/* host PLUGIN FILE: loads the plugin, and asks it to open the file. */

#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
  if (argc != 3)
    return 2;
  void *plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  int (*opens)(const char *) = (int (*)(const char *))dlsym(plugin, "plugin_opens");
  printf("%s\n", opens != NULL && opens(argv[2]) ? "opened" : "refused");
  return 0;
}
