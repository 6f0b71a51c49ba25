// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/in_use.h"

#include "vmm/base/fd.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <fcntl.h>
#include <filesystem>
#include <sys/wait.h>
#include <unistd.h>

namespace in_use_test {

using namespace godwit;

namespace {

struct Folder {
    Folder() {
        char name[] = "/tmp/godwit-in-use-XXXXXX";
        path = ::mkdtemp(name);
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string file(const char* name) const {
        std::string made = path + "/" + name;
        (void)open_file(made, O_WRONLY | O_CREAT, 0644).value();
        return made;
    }
    std::string path;
};

bool lock(const Fd& fd, short type) {
    struct flock part {};
    part.l_type = type;
    part.l_whence = SEEK_SET;
    part.l_start = 100; // as QEMU does, a few bytes
    part.l_len = 4;
    return ::fcntl(fd.get(), F_OFD_SETLK, &part) == 0;
}

} // namespace

TEST_CASE("a file that nobody has may be replaced", "[base]") {
    const Folder folder;
    CHECK(check_unused(folder.file("free")).ok());
    CHECK(check_unused(folder.path + "/not-there").ok());
    CHECK(check_unused(folder.path).ok());
    CHECK(check_unused("/dev/null").ok());
}

TEST_CASE("a file that this process has open is not replaced, by whatever name", "[base]") {
    const Folder folder;
    const std::string file = folder.file("disk"), link = folder.path + "/link", twin = folder.path + "/twin";
    std::filesystem::create_symlink(file, link);
    std::filesystem::create_hard_link(file, twin);
    {
        const Fd open = std::move(open_file(file, O_RDONLY)).value();
        for (const std::string& name : {file, link, twin}) {
            const Status status = check_unused(name);
            REQUIRE_FALSE(status.ok());
            CHECK(status.error().code == ErrorCode::InvalidInput);
            CHECK(status.error().text.find("'" + name + "' is open in this process") == 0);
        }
    }
    CHECK(check_unused(file).ok());
}

TEST_CASE("a file on which another process has a lock is not replaced", "[base]") {
    const Folder folder;
    const std::string file = folder.file("disk");
    int ready[2], go[2];
    REQUIRE((::pipe(ready) == 0 && ::pipe(go) == 0));
    const pid_t child = ::fork();
    if (child == 0) {
        const Fd open = std::move(open_file(file, O_RDWR)).value();
        char byte = 0;
        const bool done =
            lock(open, F_RDLCK) && ::write(ready[1], &byte, 1) == 1 && ::read(go[0], &byte, 1) == 1;
        ::_exit(done ? 0 : 1);
    }
    char byte = 0;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    const Status status = check_unused(file);
    CHECK_FALSE(status.ok());
    REQUIRE(::write(go[1], &byte, 1) == 1);
    int ended = 0;
    REQUIRE(::waitpid(child, &ended, 0) == child);
    CHECK(ended == 0);
    CHECK(status.error().text == "'" + file + "' is in use: a process holds a lock on it");
    CHECK(check_unused(file).ok());
    for (const int end : {ready[0], ready[1], go[0], go[1]})
        ::close(end);
}

} // namespace in_use_test
