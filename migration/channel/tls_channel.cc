// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/tls_channel.h"

#include "vmm/base/text.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>

namespace godwit::migration {

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kCertificatePriority = "NORMAL:-VERS-ALL:+VERS-TLS1.3";
// With a key that both sides have, a certificate is neither wanted nor sent.
constexpr const char* kSharedKeyPriority = "NORMAL:-VERS-ALL:+VERS-TLS1.3:-KX-ALL:+ECDHE-PSK:+DHE-PSK";

// Why the certificate is not believed, in GnuTLS's words.
std::string verdict_text(unsigned verdict) {
    ::gnutls_datum_t text{};
    if (::gnutls_certificate_verification_status_print(verdict, GNUTLS_CRT_X509, &text, 0) < 0)
        return fmt::format("status {:#x}", verdict);
    std::string words{reinterpret_cast<const char*>(text.data), text.size};
    ::gnutls_free(text.data);
    while (!words.empty() && (words.back() == ' ' || words.back() == '\0'))
        words.pop_back();
    return words;
}

} // namespace

Result<std::unique_ptr<Channel>> TlsChannel::start(std::unique_ptr<Channel> inner,
                                                   std::shared_ptr<const TlsCredentials> credentials,
                                                   std::string host, std::chrono::milliseconds limit) {
    std::unique_ptr<TlsChannel> channel{new TlsChannel{std::move(inner), std::move(credentials)}};
    channel->set_timeout(channel->inner_->timeout());
    channel->set_cancel(channel->inner_->cancel());
    TRY(channel->set_up());
    TRY_IN(channel->handshake(limit), "TLS");
    TRY_IN(channel->check_peer_identity(host), "TLS");
    return std::unique_ptr<Channel>{std::move(channel)};
}

Status TlsChannel::set_up() {
    const bool client = credentials_->side() == TlsCredentials::Side::Client;
    const bool certificates = credentials_->kind() == TlsCredentials::Kind::X509;
    // Nobody resumes a session here; without tickets nothing comes that the protocol did not send.
    const unsigned flags = (client ? GNUTLS_CLIENT : GNUTLS_SERVER) | GNUTLS_NO_TICKETS;
    if (const int code = ::gnutls_init(&session_, flags); code < 0)
        return failure(code, "start a session");
    const char* const priority = certificates ? kCertificatePriority : kSharedKeyPriority;
    if (const int code = ::gnutls_priority_set_direct(session_, priority, nullptr); code < 0)
        return failure(code, "choose ciphers");
    const auto type = certificates ? GNUTLS_CRD_CERTIFICATE : GNUTLS_CRD_PSK;
    if (const int code = ::gnutls_credentials_set(session_, type, credentials_->handle_); code < 0)
        return failure(code, "set credentials");
    if (certificates && !client)
        ::gnutls_certificate_server_set_request(session_, GNUTLS_CERT_REQUIRE);
    ::gnutls_transport_set_ptr(session_, this);
    ::gnutls_transport_set_push_function(session_, &TlsChannel::push);
    ::gnutls_transport_set_pull_function(session_, &TlsChannel::pull);
    return {};
}

Status TlsChannel::handshake(std::chrono::milliseconds limit) {
    deadline_ = Clock::now() + limit;
    int code = 0;
    do {
        prepare();
        code = ::gnutls_handshake(session_);
    } while (code < 0 && ::gnutls_error_is_fatal(code) == 0);
    if (code < 0) {
        Error why = failure(code, "no agreement with");
        // Why, for a peer that listens; one that does not is not waited for.
        if (!below_ && (code = ::gnutls_error_to_alert(code, nullptr)) > 0)
            (void)::gnutls_alert_send(session_, GNUTLS_AL_FATAL,
                                      static_cast<::gnutls_alert_description_t>(code));
        return why;
    }
    deadline_.reset();
    count_bytes();
    return {};
}

Status TlsChannel::check_peer_identity(const std::string& host) {
    if (credentials_->kind() == TlsCredentials::Kind::Psk)
        return {}; // who has the key is who they say
    const bool client = credentials_->side() == TlsCredentials::Side::Client;
    std::vector<std::string> names = credentials_->peers();
    if (names.empty() && client)
        names.push_back(host);
    if (client && names.front().empty())
        return invalid_input("{} has no host name: tls-hostname must say whose certificate is wanted",
                             peer());
    unsigned verdict = 0;
    ::gnutls_typed_vdata_st purpose{};
    purpose.type = GNUTLS_DT_KEY_PURPOSE_OID;
    const char* const oid = client ? GNUTLS_KP_TLS_WWW_SERVER : GNUTLS_KP_TLS_WWW_CLIENT;
    purpose.data = reinterpret_cast<unsigned char*>(const_cast<char*>(oid));
    if (const int code = ::gnutls_certificate_verify_peers(session_, &purpose, 1, &verdict); code < 0)
        return failure(code, "no certificate to check of");
    if (verdict != 0)
        return error(ErrorCode::Protocol, "the certificate of {} is not believed: {}", peer(),
                     verdict_text(verdict));
    if (names.empty())
        return {};
    unsigned count = 0;
    const ::gnutls_datum_t* const chain = ::gnutls_certificate_get_peers(session_, &count);
    ::gnutls_x509_crt_t certificate = nullptr;
    if (chain == nullptr || count == 0 || ::gnutls_x509_crt_init(&certificate) < 0)
        return error(ErrorCode::Protocol, "{} sent no certificate", peer());
    const std::unique_ptr<std::remove_pointer_t<::gnutls_x509_crt_t>, decltype(&::gnutls_x509_crt_deinit)>
        owner{certificate, &::gnutls_x509_crt_deinit};
    if (const int code = ::gnutls_x509_crt_import(certificate, &chain[0], GNUTLS_X509_FMT_DER); code < 0)
        return failure(code, "read the certificate of");
    for (const std::string& name : names)
        if (::gnutls_x509_crt_check_hostname(certificate, name.c_str()) != 0)
            return {};
    return error(ErrorCode::Protocol, "the certificate of {} is not for '{}'", peer(), join(names, "', '"));
}

TlsChannel::~TlsChannel() {
    if (session_ != nullptr)
        ::gnutls_deinit(session_);
}

void TlsChannel::prepare() {
    below_.reset();
    inner_->set_timeout(timeout_);
    inner_->set_cancel(cancel_);
}

void TlsChannel::count_bytes() {
    bytes_written_ = inner_->bytes_written();
    bytes_read_ = inner_->bytes_read();
}

Error TlsChannel::failure(int code, std::string_view what) {
    if (below_)
        return *std::exchange(below_, std::nullopt);
    if (code == GNUTLS_E_PREMATURE_TERMINATION)
        return error(ErrorCode::Disconnected, "{} closed the connection", peer());
    const char* const alert = code == GNUTLS_E_FATAL_ALERT_RECEIVED
                                  ? ::gnutls_alert_get_name(::gnutls_alert_get(session_))
                                  : nullptr;
    if (alert != nullptr)
        return error(ErrorCode::Protocol, "{} {}: it refused us: {}", what, peer(), alert);
    return error(ErrorCode::Protocol, "{} {}: {}", what, peer(), ::gnutls_strerror(code));
}

// ---- below: what GnuTLS sends and reads

ssize_t TlsChannel::push(void* self, const void* bytes, std::size_t count) {
    TlsChannel& channel = *static_cast<TlsChannel*>(self);
    const iovec part{const_cast<void*>(bytes), count};
    auto written = channel.inner_->write(std::span{&part, 1});
    if (written.ok())
        return static_cast<ssize_t>(count);
    channel.below_ = std::move(written).error();
    ::gnutls_transport_set_errno(channel.session_, EPIPE);
    return -1;
}

ssize_t TlsChannel::pull(void* self, void* bytes, std::size_t count) {
    return static_cast<TlsChannel*>(self)->pull({static_cast<std::byte*>(bytes), count});
}

ssize_t TlsChannel::pull(std::span<std::byte> out) {
    if (only_what_is_there_) {
        const auto there = inner_->readable(std::chrono::milliseconds{0});
        if (!there.ok() || !*there) {
            if (!there.ok())
                below_ = there.error();
            ::gnutls_transport_set_errno(session_, there.ok() ? EAGAIN : EPIPE);
            return -1;
        }
    }
    if (deadline_) {
        // The timeout of a channel is one of progress; a handshake must also end.
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
        if (left.count() <= 0) {
            below_ = error(ErrorCode::Disconnected, "{} did not finish the handshake in time", peer());
            ::gnutls_transport_set_errno(session_, ETIMEDOUT);
            return -1;
        }
        inner_->set_timeout(std::min(left, timeout_));
    }
    auto count = inner_->read_some(out);
    if (count.ok())
        return static_cast<ssize_t>(*count);
    below_ = std::move(count).error();
    ::gnutls_transport_set_errno(session_, ECONNRESET);
    return -1;
}

// ---- above: the protocol's bytes

Status TlsChannel::write(std::span<const iovec> parts) {
    prepare();
    for (const iovec& part : parts) {
        const auto* at = static_cast<const std::byte*>(part.iov_base);
        for (std::size_t left = part.iov_len; left != 0;) {
            const ssize_t sent = ::gnutls_record_send(session_, at, left);
            if (sent < 0)
                return failure(static_cast<int>(sent), "send to");
            at += sent;
            left -= static_cast<std::size_t>(sent);
        }
    }
    count_bytes();
    return {};
}

Result<std::size_t> TlsChannel::receive(std::span<std::byte> out) {
    if (record_at_ != record_end_) {
        const std::size_t count = std::min(out.size(), record_end_ - record_at_);
        std::memcpy(out.data(), &record_[record_at_], count);
        record_at_ += count;
        return count;
    }
    if (pending_)
        return *std::exchange(pending_, std::nullopt);
    if (ended_)
        return std::size_t{0};
    for (;;) {
        const ssize_t count = ::gnutls_record_recv(session_, out.data(), out.size());
        if (count >= 0)
            return static_cast<std::size_t>(count);
        if (count != GNUTLS_E_AGAIN && count != GNUTLS_E_INTERRUPTED)
            return failure(static_cast<int>(count), "receive from");
    }
}

Result<std::size_t> TlsChannel::read_some(std::span<std::byte> out) {
    prepare();
    const std::size_t count = TRY(receive(out));
    count_bytes();
    return count;
}

Status TlsChannel::read(std::span<const iovec> parts) {
    prepare();
    for (const iovec& part : parts) {
        std::span<std::byte> left{static_cast<std::byte*>(part.iov_base), part.iov_len};
        while (!left.empty()) {
            const std::size_t count = TRY(receive(left));
            if (count == 0)
                return error(ErrorCode::Disconnected, "{} closed the connection", peer());
            left = left.subspan(count);
        }
    }
    count_bytes();
    return {};
}

Result<bool> TlsChannel::readable(std::chrono::milliseconds wait) {
    prepare();
    const auto deadline = Clock::now() + wait;
    for (;;) {
        if (record_at_ != record_end_ || pending_ || ended_)
            return true;
        // Bytes below need not be bytes for the protocol: only a whole record tells.
        only_what_is_there_ = true;
        const ssize_t count = ::gnutls_record_recv(session_, record_.data(), record_.size());
        only_what_is_there_ = false;
        if (count > 0) {
            record_at_ = 0;
            record_end_ = static_cast<std::size_t>(count);
        } else if (count == 0) {
            ended_ = true;
        } else if (count != GNUTLS_E_AGAIN && count != GNUTLS_E_INTERRUPTED) {
            Error why = failure(static_cast<int>(count), "receive from");
            if (why.code == ErrorCode::Cancelled)
                return why;
            pending_ = std::move(why);
        } else {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
            if (!TRY(inner_->readable(std::max(left, std::chrono::milliseconds{0}))))
                return false;
        }
    }
}

void TlsChannel::finish_writing() {
    prepare();
    (void)::gnutls_bye(session_, GNUTLS_SHUT_WR);
    inner_->finish_writing();
}

void TlsChannel::close() {
    inner_->close();
}

} // namespace godwit::migration
