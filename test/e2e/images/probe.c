// probe cat FILE: prints it. probe lookup NAME: resolves it as programs do, A and AAAA, and prints addresses and milliseconds.
// probe lookup NAME COUNT: so many processes do, one every 50 ms, each with sockets of its own.
// probe or probe sleep: waits for SIGTERM.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void end(int signal) {
  (void)signal;
  _exit(0);
}

static int cat(const char *path) {
  FILE *file = fopen(path, "r");
  if (file == NULL) {
    perror(path);
    return 1;
  }
  for (int byte; (byte = fgetc(file)) != EOF;) putchar(byte);
  return 0;
}

static double milliseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static int lookup(const char *name) {
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
  double began = milliseconds();
  int error = getaddrinfo(name, NULL, &hints, &found);
  double took = milliseconds() - began;
  if (error != 0) {
    printf("%s %.1f\n", gai_strerror(error), took);
    return 2;
  }
  for (struct addrinfo *one = found; one != NULL; one = one->ai_next) {
    char text[INET6_ADDRSTRLEN];
    void *address = one->ai_family == AF_INET ? (void *)&((struct sockaddr_in *)one->ai_addr)->sin_addr
                                              : (void *)&((struct sockaddr_in6 *)one->ai_addr)->sin6_addr;
    printf("%s ", inet_ntop(one->ai_family, address, text, sizeof text));
  }
  printf("%.1f\n", took);
  freeaddrinfo(found);
  return 0;
}

static int lookups(const char *name, int count) {
  for (int number = 0; number < count; number++) {
    if (fork() == 0) exit(lookup(name));
    usleep(50000);
  }
  int failed = 0;
  for (int status; wait(&status) > 0;) failed += status != 0;
  return failed;
}

int main(int argc, char **argv) {
  signal(SIGTERM, end);
  if (argc > 2 && strcmp(argv[1], "cat") == 0) return cat(argv[2]);
  if (argc > 3 && strcmp(argv[1], "lookup") == 0) return lookups(argv[2], atoi(argv[3]));
  if (argc > 2 && strcmp(argv[1], "lookup") == 0) return lookup(argv[2]);
  for (;;) pause();
}
