/* live_options: prints the values of OMOMI_LIVE_OPTIONS_INIT. */

#include <omomi.h>

#include <iostream>
#include <string>

int main() {
  const OmomiLiveOptions options = OMOMI_LIVE_OPTIONS_INIT;
  const OmomiLiveStatus status = OMOMI_LIVE_STATUS_INIT;
  if (status.size_bytes != sizeof status || status.heartbeat_unix_seconds != 0)
    return 1;
  std::cout << std::string(options.name.text, options.name.len_bytes) << ' ' << options.load_mode << ' ' << options.max_deaths
            << ' ' << options.poll_interval_ms << ' ' << options.trial_ms << ' ' << options.retry_after_death_ms << ' '
            << options.max_file_len_bytes << ' ' << options.memory_budget_bytes << ' ' << options.min_generation << ' '
            << options.contract_fingerprint_count << ' ' << options.trusted_key_path_count << ' '
            << options.max_training_age_seconds << ' ' << options.signature << ' ' << options.allow_writable_files << ' ' << options.lock_memory
            << ' ' << options.has_fallback << ' ' << options.fallback_file.len_bytes << '\n';
  return 0;
}
