/* Looks up one name, once: prints `asking`, then its time and result as one line of JSON. */
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int argc, char **argv) {
  struct addrinfo hints, *found = 0;
  char host[64];
  if (argc != 2) return 2;
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  puts("asking");
  fflush(stdout);
  double start = milliseconds();
  int failed = getaddrinfo(argv[1], "80", &hints, &found);
  double took = milliseconds() - start;
  printf("{\"ms\":%.3f,\"addresses\":[", took);
  for (struct addrinfo *one = found; one != 0; one = one->ai_next) {
    getnameinfo(one->ai_addr, one->ai_addrlen, host, sizeof host, 0, 0, NI_NUMERICHOST);
    printf("%s\"%s\"", one == found ? "" : ",", host);
  }
  /* The messages of musl differ from those of glibc; the code's name does not. */
  const char *error = !failed ? "" : failed == EAI_AGAIN ? "EAI_AGAIN" : failed == EAI_NONAME ? "EAI_NONAME" : gai_strerror(failed);
  printf("],\"error\":\"%s\"}\n", error);
  return 0;
}
