// SPDX-License-Identifier: Apache-2.0
#include "migration/channel/tls_credentials.h"

#include "vmm/base/fd.h"

#include <cerrno>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

// The library is not to set itself up while the program is loaded: without TLS that would be half a megabyte,
// and some of the start-up time, for nothing.
extern "C" {
GNUTLS_SKIP_GLOBAL_INIT
}

namespace godwit::migration {

namespace {

constexpr std::size_t kMaxPskFile = 1 << 20;
constexpr std::size_t kMinKeyBytes = 16;

Error gnutls_error(int code, std::string_view what) {
    return invalid_input("{}: {}", what, ::gnutls_strerror(code));
}

Status set_up_library() {
    static const int code = ::gnutls_global_init(); // once, whatever thread comes first
    return code < 0 ? Status{gnutls_error(code, "set up GnuTLS")} : Status{};
}

Status check_readable(const std::string& path) {
    if (::access(path.c_str(), R_OK) != 0)
        return invalid_input("{}", system_error(errno, fmt::format("read '{}'", path)).text);
    return {};
}

struct PskLine {
    std::string identity;
    std::string key; // hexadecimal
};

bool is_hexadecimal(std::string_view text) {
    return text.size() % 2 == 0 && text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

Result<std::vector<PskLine>> read_psk(const std::string& path) {
    const Fd file = TRY(open_file(path, O_RDONLY));
    struct stat info {};
    if (::fstat(file.get(), &info) != 0)
        return system_error(errno, fmt::format("stat '{}'", path));
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0)
        return invalid_input(
            "'{}' holds keys, and others than its owner may use it (mode {:o}; 600 is wanted)", path,
            info.st_mode & 0777);
    std::string text(kMaxPskFile, '\0');
    const ssize_t count = ::read(file.get(), text.data(), text.size());
    if (count < 0)
        return system_error(errno, fmt::format("read '{}'", path));
    text.resize(static_cast<std::size_t>(count));
    std::vector<PskLine> lines;
    std::size_t number = 0;
    for (std::string_view rest = text; !rest.empty();) {
        ++number;
        const std::size_t end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest = end == std::string_view::npos ? std::string_view{} : rest.substr(end + 1);
        if (line.empty() || line.front() == '#')
            continue;
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0)
            return invalid_input("'{}' line {}: IDENTITY:HEXKEY is wanted", path, number);
        const std::string_view key = line.substr(colon + 1);
        if (!is_hexadecimal(key) || key.size() < 2 * kMinKeyBytes)
            return invalid_input("'{}' line {}: the key of '{}' is not {} or more bytes in hexadecimal", path,
                                 number, line.substr(0, colon), kMinKeyBytes);
        lines.push_back({std::string{line.substr(0, colon)}, std::string{key}});
    }
    if (lines.empty())
        return invalid_input("'{}' has no key", path);
    return lines;
}

} // namespace

Result<std::shared_ptr<const TlsCredentials>> TlsCredentials::load(const TlsOptions& options, Side side) {
    if (!options.x509_folder.empty() && !options.psk_file.empty())
        return invalid_input("TLS: certificates ('{}') and a shared key ('{}') exclude each other",
                             options.x509_folder, options.psk_file);
    std::vector<std::string> peers = options.peers;
    if (side == Side::Client && !options.host.empty())
        peers = {options.host};
    if (!options.psk_file.empty() && !peers.empty())
        return invalid_input(
            "TLS: with a shared key ('{}') there are no certificates that could name a peer ('{}')",
            options.psk_file, peers.front());
    const Kind kind = options.psk_file.empty() ? Kind::X509 : Kind::Psk;
    std::shared_ptr<TlsCredentials> credentials{new TlsCredentials{side, kind, std::move(peers)}};
    TRY(set_up_library());
    if (kind == Kind::X509)
        TRY_IN(credentials->load_x509(options.x509_folder), "TLS");
    else
        TRY_IN(credentials->load_psk(options.psk_file, options.identity), "TLS");
    return std::shared_ptr<const TlsCredentials>{std::move(credentials)};
}

Status TlsCredentials::load_x509(const std::string& folder) {
    ::gnutls_certificate_credentials_t made = nullptr;
    if (const int code = ::gnutls_certificate_allocate_credentials(&made); code < 0)
        return gnutls_error(code, "allocate credentials");
    handle_ = made;
    const std::string authority = folder + "/ca-cert.pem";
    const std::string revoked = folder + "/ca-crl.pem";
    const std::string own = folder + (side_ == Side::Client ? "/client" : "/server");
    const std::string certificate = own + "-cert.pem";
    const std::string key = own + "-key.pem";
    for (const std::string& path : {authority, certificate, key})
        TRY(check_readable(path));
    const int trusted =
        ::gnutls_certificate_set_x509_trust_file(made, authority.c_str(), GNUTLS_X509_FMT_PEM);
    if (trusted < 0)
        return gnutls_error(trusted, fmt::format("'{}'", authority));
    if (trusted == 0)
        return invalid_input("'{}' has no certificate", authority);
    if (::access(revoked.c_str(), F_OK) == 0)
        if (const int code =
                ::gnutls_certificate_set_x509_crl_file(made, revoked.c_str(), GNUTLS_X509_FMT_PEM);
            code < 0)
            return gnutls_error(code, fmt::format("'{}'", revoked));
    if (const int code = ::gnutls_certificate_set_x509_key_file(made, certificate.c_str(), key.c_str(),
                                                                GNUTLS_X509_FMT_PEM);
        code < 0)
        return gnutls_error(code, fmt::format("'{}' and '{}'", certificate, key));
    return {};
}

Status TlsCredentials::load_psk(const std::string& file, const std::string& identity) {
    const std::vector<PskLine> lines = TRY(read_psk(file));
    if (side_ == Side::Server) {
        ::gnutls_psk_server_credentials_t made = nullptr;
        if (const int code = ::gnutls_psk_allocate_server_credentials(&made); code < 0)
            return gnutls_error(code, "allocate credentials");
        handle_ = made;
        // GnuTLS reads the file at each handshake: a key that is taken out of it is not believed any more.
        if (const int code = ::gnutls_psk_set_server_credentials_file(made, file.c_str()); code < 0)
            return gnutls_error(code, fmt::format("'{}'", file));
        return {};
    }
    const PskLine* chosen = identity.empty() ? lines.data() : nullptr;
    for (const PskLine& line : lines)
        if (chosen == nullptr && line.identity == identity)
            chosen = &line;
    if (chosen == nullptr)
        return invalid_input("'{}' has no key of '{}'", file, identity);
    ::gnutls_psk_client_credentials_t made = nullptr;
    if (const int code = ::gnutls_psk_allocate_client_credentials(&made); code < 0)
        return gnutls_error(code, "allocate credentials");
    handle_ = made;
    std::string key = chosen->key;
    const ::gnutls_datum_t datum{reinterpret_cast<unsigned char*>(key.data()),
                                 static_cast<unsigned>(key.size())};
    if (const int code =
            ::gnutls_psk_set_client_credentials(made, chosen->identity.c_str(), &datum, GNUTLS_PSK_KEY_HEX);
        code < 0)
        return gnutls_error(code, fmt::format("the key of '{}' in '{}'", chosen->identity, file));
    return {};
}

TlsCredentials::~TlsCredentials() {
    if (handle_ == nullptr)
        return;
    if (kind_ == Kind::X509)
        ::gnutls_certificate_free_credentials(static_cast<::gnutls_certificate_credentials_t>(handle_));
    else if (side_ == Side::Server)
        ::gnutls_psk_free_server_credentials(static_cast<::gnutls_psk_server_credentials_t>(handle_));
    else
        ::gnutls_psk_free_client_credentials(static_cast<::gnutls_psk_client_credentials_t>(handle_));
}

} // namespace godwit::migration
