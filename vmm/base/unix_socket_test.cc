// SPDX-License-Identifier: Apache-2.0
#include "vmm/base/unix_socket.h"

#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace godwit {
namespace {

namespace fs = std::filesystem;

struct Folder {
    Folder() {
        std::array<char, 32> name{"/tmp/godwit-socket-XXXXXX"};
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name.data();
    }
    ~Folder() { fs::remove_all(path); }
    std::string socket() const { return path + "/socket"; }
    std::string path;
};

// Somebody else's, whose file stays when it ends.
Fd bound(const std::string& path, int type) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    Fd fd = Fd::adopt(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    return fd;
}

void require_in_use(const std::string& path) {
    const auto second = UnixListener::open(path, 1);
    REQUIRE_FALSE(second.ok());
    CHECK(second.error().text.find(path) != std::string::npos);
    CHECK(second.error().text.find("in use") != std::string::npos);
    CHECK(fs::is_socket(path));
}

TEST_CASE("a listener's file is for its owner, and goes with it") {
    const Folder folder;
    {
        const auto listener = UnixListener::open(folder.socket(), 1);
        REQUIRE(listener.ok());
        CHECK(fs::status(folder.socket()).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
        CHECK(connect_unix(folder.socket()).ok());
        require_in_use(folder.socket());
    }
    CHECK_FALSE(fs::exists(folder.socket()));
}

TEST_CASE("a socket that somebody has is left to him, whatever its type and however busy he is") {
    const Folder folder;
    std::optional<Fd> pending;
    Fd theirs;
    SECTION("datagrams") {
        theirs = bound(folder.socket(), SOCK_DGRAM);
    }
    SECTION("packets") {
        theirs = bound(folder.socket(), SOCK_SEQPACKET);
        REQUIRE(::listen(theirs.get(), 1) == 0);
    }
    SECTION("a full backlog") {
        theirs = bound(folder.socket(), SOCK_STREAM);
        REQUIRE(::listen(theirs.get(), 0) == 0);
        pending = std::move(connect_unix(folder.socket())).value();
    }
    require_in_use(folder.socket());
}

TEST_CASE("what nobody serves is replaced, and what is no socket stays") {
    const Folder folder;
    bound(folder.socket(), SOCK_STREAM).reset();
    REQUIRE(fs::is_socket(folder.socket()));
    { REQUIRE(UnixListener::open(folder.socket(), 1).ok()); }

    std::ofstream{folder.socket()} << "text";
    const auto file = UnixListener::open(folder.socket(), 1);
    REQUIRE_FALSE(file.ok());
    CHECK(file.error().text.find("not a socket") != std::string::npos);
    CHECK(fs::file_size(folder.socket()) == 4);
}

TEST_CASE("a successor's file is not removed") {
    const Folder folder;
    auto former = std::move(UnixListener::open(folder.socket(), 1)).value();
    fs::remove(folder.socket());
    const auto successor = UnixListener::open(folder.socket(), 1);
    REQUIRE(successor.ok());
    former = UnixListener{};
    CHECK(connect_unix(folder.socket()).ok());
}

} // namespace
} // namespace godwit
