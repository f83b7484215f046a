/* Preloaded into the program under test: a disk that fails on demand. While the directory
   FAILING_DISK holds a file of that name, every `sync`, or every write (`write`: the disk is full,
   `quota`: its user's share is), of the store's database, its write-ahead log, or a database in
   the making fails as the kernel would report it. Linux only. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static int ends_with(const char *text, const char *end) {
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && strcmp(text + length - tail, end) == 0;
}

static int fails(int fd, const char *operation) {
    char name[4096], file[4096];
    const char *directory = getenv("FAILING_DISK");
    if (directory == NULL) return 0;
    snprintf(name, sizeof name, "%s/%s", directory, operation);
    if (access(name, F_OK) != 0) return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(name, file, sizeof file - 1);
    if (length < 0) return 0;
    file[length] = '\0';
    return ends_with(file, ".db") || ends_with(file, ".db-wal") || ends_with(file, ".db-new");
}

static ssize_t refuse(int error) {
    errno = error;
    return -1;
}

int fsync(int fd) {
    return fails(fd, "sync") ? (int)refuse(EIO) : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    return fails(fd, "sync") ? (int)refuse(EIO) : (int)syscall(SYS_fdatasync, fd);
}

static int write_error(int fd) {
    return fails(fd, "write") ? ENOSPC : fails(fd, "quota") ? EDQUOT : 0;
}

ssize_t write(int fd, const void *bytes, size_t length) {
    int error = write_error(fd);
    return error ? refuse(error) : syscall(SYS_write, fd, bytes, length);
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset) {
    int error = write_error(fd);
    return error ? refuse(error) : syscall(SYS_pwrite64, fd, bytes, length, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) {
    return pwrite64(fd, bytes, length, offset);
}
