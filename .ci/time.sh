#!/usr/bin/env bash
# How .ci/run keeps its time. Sourced by it; SECONDS is bash's own count of its seconds.

minutes=${LIBC_DNS_CI_MINUTES:-75}

# Succeeds if something that takes so many minutes ends in time.
in_time() {
  [ $((SECONDS + $1 * 60)) -le $((minutes * 60)) ]
}

# Prints how much of the time has passed.
time_passed() {
  echo "$((SECONDS / 60)) of $minutes minutes have passed (LIBC_DNS_CI_MINUTES)"
}

# Waits for a process of this shell, as long as something that takes so many minutes after it ends in time. Status: of the process;
# 124 if it was not waited for any more.
wait_in_time() {
  while kill -0 "$1" 2>/dev/null; do
    in_time "$2" || return 124
    sleep 1
  done
  wait "$1"
}
