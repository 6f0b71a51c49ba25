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
