// SPDX-License-Identifier: Apache-2.0
//
// A channel inside of TLS 1.3 (GnuTLS). Both sides prove who they are before a byte of the protocol passes:
// what an unknown peer sends is seen by GnuTLS alone. Owned by one thread.
#pragma once

#include "migration/channel/channel.h"
#include "migration/channel/tls_credentials.h"

#include <array>
#include <chrono>
#include <optional>
#include <vector>

struct gnutls_session_int;

namespace godwit::migration {

class TlsChannel final : public Channel {
  public:
    // Shakes hands over `inner` within `limit`, as the side that the credentials are for. `host` is the name
    // that a source has connected to; the credentials' own list of peers comes before it.
    static Result<std::unique_ptr<Channel>> start(std::unique_ptr<Channel> inner,
                                                  std::shared_ptr<const TlsCredentials> credentials,
                                                  std::string host, std::chrono::milliseconds limit);
    ~TlsChannel() override;

    Status write(std::span<const iovec> parts) override;
    Status read(std::span<const iovec> parts) override;
    using Channel::read;
    Result<std::size_t> read_some(std::span<std::byte> out) override;
    Result<bool> readable(std::chrono::milliseconds wait) override;
    void finish_writing() override;
    void close() override;
    const std::string& peer() const override { return inner_->peer(); }
    std::chrono::microseconds round_trip() const override { return inner_->round_trip(); }

  private:
    TlsChannel(std::unique_ptr<Channel> inner, std::shared_ptr<const TlsCredentials> credentials)
        : inner_(std::move(inner)), credentials_(std::move(credentials)) {}
    Status set_up();
    Status handshake(std::chrono::milliseconds limit);
    Status check_peer_identity(const std::string& host);

    // GnuTLS's way to the bytes below.
    static ssize_t push(void* self, const void* bytes, std::size_t count);
    static ssize_t pull(void* self, void* bytes, std::size_t count);
    ssize_t pull(std::span<std::byte> out);

    // What a caller has set on us counts below.
    void prepare();
    void count_bytes();
    // At least one byte, or 0 at the end of the stream.
    Result<std::size_t> receive(std::span<std::byte> out);
    Error failure(int code, std::string_view what);

    std::unique_ptr<Channel> inner_;
    const std::shared_ptr<const TlsCredentials> credentials_;
    gnutls_session_int* session_ = nullptr;
    std::optional<Error> below_;                                    // why push or pull failed
    bool only_what_is_there_ = false;                               // pull does not wait
    std::optional<std::chrono::steady_clock::time_point> deadline_; // of the handshake
    std::optional<Error> pending_;                                  // an error that readable() met
    bool ended_ = false;                                            // readable() met the end of the stream
    std::array<std::byte, 16384> record_; // decrypted by readable() and not read yet
    std::size_t record_at_ = 0;
    std::size_t record_end_ = 0;
};

} // namespace godwit::migration
