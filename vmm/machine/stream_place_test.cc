// SPDX-License-Identifier: Apache-2.0
#include "vmm/machine/stream_place.h"

#include "vmm/base/unix_socket.h"

#include <array>
#include <catch2/catch.hpp>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace godwit {
namespace {

using std::chrono::milliseconds;

struct Folder {
    Folder() {
        std::array<char, 32> name{"/tmp/godwit-place-XXXXXX"};
        REQUIRE(::mkdtemp(name.data()) != nullptr);
        path = name.data();
    }
    ~Folder() { std::filesystem::remove_all(path); }
    std::string operator/(const std::string& name) const { return path + "/" + name; }
    std::string path;
};

std::unique_ptr<migration::Cancel> make_cancel() {
    return std::move(migration::Cancel::create()).value();
}

std::string text_of(const std::string& path) {
    std::ifstream file{path};
    return {std::istreambuf_iterator<char>{file}, {}};
}

Status write_text(const StreamOutput& output, const migration::Cancel& cancel, std::string_view text,
                  milliseconds patience = milliseconds{20}) {
    auto sink = TRY(output.sink(cancel, patience));
    TRY(sink.write(std::as_bytes(std::span{text})));
    return sink.flush();
}

TEST_CASE("a file appears when it is finished, and takes the place of the one before") {
    const Folder folder;
    const auto cancel = make_cancel();
    std::ofstream{folder / "state"} << "older";
    {
        auto given_up = StreamOutput::create(folder / "state");
        REQUIRE(given_up.ok());
        REQUIRE(write_text(*given_up, *cancel, "half").ok());
    }
    CHECK(text_of(folder / "state") == "older");
    CHECK_FALSE(std::filesystem::exists(folder / "state.partial"));

    auto output = StreamOutput::create(folder / "state");
    REQUIRE(output.ok());
    REQUIRE(write_text(*output, *cancel, "newer").ok());
    CHECK(text_of(folder / "state") == "older");
    REQUIRE(output->finish().ok());
    CHECK(text_of(folder / "state") == "newer");
    CHECK_FALSE(std::filesystem::exists(folder / "state.partial"));
}

TEST_CASE("a reader that rests is not waited for without end, nor after a cancel") {
    const Folder folder;
    const auto cancel = make_cancel();
    const std::string much(8 << 20, 'x');
    std::unique_ptr<StreamOutput> output;
    Fd reader;
    UnixListener listener;
    SECTION("a FIFO") {
        REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
        reader = std::move(open_file(folder / "fifo", O_RDONLY | O_NONBLOCK)).value();
        output = std::make_unique<StreamOutput>(std::move(StreamOutput::create(folder / "fifo")).value());
    }
    SECTION("a socket") {
        listener = std::move(UnixListener::open(folder / "socket", 1)).value();
        output = std::make_unique<StreamOutput>(
            std::move(StreamOutput::create("unix:" + folder / "socket")).value());
    }
    const Status late = write_text(*output, *cancel, much);
    REQUIRE_FALSE(late.ok());
    CHECK(late.error().code == ErrorCode::Disconnected);
    cancel->request("enough");
    const Status cancelled = write_text(*output, *cancel, much, milliseconds{-1});
    REQUIRE_FALSE(cancelled.ok());
    CHECK(cancelled.error().code == ErrorCode::Cancelled);
    CHECK(cancelled.error().text == "enough");
}

TEST_CASE("a stream that does not come is waited for until a cancel") {
    const Folder folder;
    const auto cancel = make_cancel();
    cancel->request("enough");
    const auto from_socket = StreamInput::open("unix:" + folder / "socket", *cancel);
    REQUIRE_FALSE(from_socket.ok());
    CHECK(from_socket.error().code == ErrorCode::Cancelled);
    CHECK_FALSE(std::filesystem::exists(folder / "socket"));

    REQUIRE(::mkfifo((folder / "fifo").c_str(), 0600) == 0);
    auto from_fifo = StreamInput::open(folder / "fifo", *cancel);
    REQUIRE(from_fifo.ok());
    CHECK_FALSE(from_fifo->has_end);
    CHECK(from_fifo->wait(from_fifo->fd, POLLIN).error().code == ErrorCode::Cancelled);
}

TEST_CASE("what a link leads to is replaced, and not the link") {
    const Folder folder;
    const auto cancel = make_cancel();
    std::filesystem::create_directory(folder / "there");
    const bool exists = GENERATE(true, false);
    if (exists)
        std::ofstream{folder / "there/state"} << "older";
    std::filesystem::create_symlink("there/state", folder / "second");
    std::filesystem::create_symlink(folder / "second", folder / "first");
    auto output = StreamOutput::create(folder / "first");
    REQUIRE(output.ok());
    REQUIRE(write_text(*output, *cancel, "newer").ok());
    REQUIRE(output->finish().ok());
    CHECK(text_of(folder / "there/state") == "newer");
    CHECK(std::filesystem::is_symlink(folder / "first"));
    CHECK(std::filesystem::is_symlink(folder / "second"));

    std::filesystem::create_symlink("loop", folder / "loop");
    CHECK_FALSE(StreamOutput::create(folder / "loop").ok());
}

TEST_CASE("a file that this process has open is not replaced") {
    const Folder folder;
    std::ofstream{folder / "log"} << "lines";
    const Fd log = std::move(open_file(folder / "log", O_RDWR)).value();
    const std::string door = fmt::format("/proc/self/fd/{}", log.get());
    std::filesystem::create_symlink(door, folder / "link");
    for (const std::string& place : {door, fmt::format("/dev/fd/{}", log.get()), folder / "link"}) {
        const auto output = StreamOutput::create(place);
        REQUIRE_FALSE(output.ok());
        CHECK(output.error().text.find(place) != std::string::npos);
    }
    CHECK(text_of(folder / "log") == "lines");
}

TEST_CASE("a descriptor that was handed over is written from where it stands") {
    const Folder folder;
    const auto cancel = make_cancel();
    Fd file = std::move(open_file(folder / "file", O_WRONLY | O_CREAT, 0600)).value();
    REQUIRE(::write(file.get(), "head ", 5) == 5);
    auto output = StreamOutput::adopt(std::move(file), "fd:x");
    REQUIRE(output.ok());
    REQUIRE(write_text(*output, *cancel, "tail").ok());
    REQUIRE(output->finish().ok());
    CHECK(text_of(folder / "file") == "head tail");

    std::array<int, 2> ends{};
    REQUIRE(::pipe2(ends.data(), O_CLOEXEC) == 0);
    const Fd reader = Fd::adopt(ends[0]);
    const Fd ours = Fd::adopt(ends[1]);
    auto pipe = StreamOutput::adopt(std::move(ours.duplicate()).value(), "fd:y");
    REQUIRE(pipe.ok());
    const Status late = write_text(*pipe, *cancel, std::string(1 << 20, 'x')); // nobody reads
    CHECK(late.error().code == ErrorCode::Disconnected);
    CHECK((::fcntl(ours.get(), F_GETFL) & O_NONBLOCK) == 0); // who gave it has it as it was
}

TEST_CASE("what is there may be read at once; what is not is named") {
    const Folder folder;
    const auto cancel = make_cancel();
    std::ofstream{folder / "state"} << "bytes";
    auto input = StreamInput::open(folder / "state", *cancel);
    REQUIRE(input.ok());
    CHECK(input->has_end);
    CHECK(input->wait(input->fd, POLLIN).ok());
    const auto none = StreamInput::open(folder / "none", *cancel);
    REQUIRE_FALSE(none.ok());
    CHECK(none.error().code == ErrorCode::InvalidInput);
    CHECK(none.error().text.find(folder / "none") != std::string::npos);
}

} // namespace
} // namespace godwit
