// SPDX-License-Identifier: Apache-2.0
//
// Peers that are who they say, and all kinds that are not. The certificates are made here.
#include "migration/channel/socket_channel.h"
#include "migration/channel/tls_channel.h"

#include <catch2/catch.hpp>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <gnutls/x509.h>
#include <sys/socket.h>
#include <thread>

using namespace godwit;
using namespace godwit::migration;
using namespace std::chrono_literals;

namespace {

namespace fs = std::filesystem;

class Folder {
  public:
    Folder() {
        char name[] = "/tmp/godwit-tls-XXXXXX";
        REQUIRE(::mkdtemp(name) != nullptr);
        path_ = name;
    }
    ~Folder() { fs::remove_all(path_); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    fs::path operator/(const char* name) const { return path_ / name; }
    std::string text() const { return path_; }

  private:
    fs::path path_;
};

void write_file(const fs::path& path, std::string_view text) {
    std::ofstream{path} << text;
    fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
}

struct Key {
    ::gnutls_x509_privkey_t handle = nullptr;
    Key() {
        REQUIRE(::gnutls_global_init() == 0); // counts how often
        REQUIRE(::gnutls_x509_privkey_init(&handle) == 0);
        REQUIRE(::gnutls_x509_privkey_generate(handle, GNUTLS_PK_ECDSA,
                                               GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0);
    }
    ~Key() { ::gnutls_x509_privkey_deinit(handle); }
    Key(const Key&) = delete;
    Key& operator=(const Key&) = delete;
};

struct Certificate {
    Key key;
    ::gnutls_x509_crt_t handle = nullptr;
    Certificate() { REQUIRE(::gnutls_x509_crt_init(&handle) == 0); }
    ~Certificate() { ::gnutls_x509_crt_deinit(handle); }
    Certificate(const Certificate&) = delete;
    Certificate& operator=(const Certificate&) = delete;

    void fill(const std::string& name, std::time_t from, std::time_t until) {
        static unsigned char serial = 1;
        ++serial;
        REQUIRE(::gnutls_x509_crt_set_version(handle, 3) == 0);
        REQUIRE(::gnutls_x509_crt_set_serial(handle, &serial, 1) == 0);
        REQUIRE(::gnutls_x509_crt_set_dn_by_oid(handle, GNUTLS_OID_X520_COMMON_NAME, 0, name.data(),
                                                static_cast<unsigned>(name.size())) == 0);
        REQUIRE(::gnutls_x509_crt_set_activation_time(handle, from) == 0);
        REQUIRE(::gnutls_x509_crt_set_expiration_time(handle, until) == 0);
        REQUIRE(::gnutls_x509_crt_set_key(handle, key.handle) == 0);
    }
    void save(const fs::path& certificate, const fs::path* secret) const {
        ::gnutls_datum_t text{};
        REQUIRE(::gnutls_x509_crt_export2(handle, GNUTLS_X509_FMT_PEM, &text) == 0);
        write_file(certificate, {reinterpret_cast<char*>(text.data), text.size});
        ::gnutls_free(text.data);
        if (secret == nullptr)
            return;
        REQUIRE(::gnutls_x509_privkey_export2(key.handle, GNUTLS_X509_FMT_PEM, &text) == 0);
        write_file(*secret, {reinterpret_cast<char*>(text.data), text.size});
        ::gnutls_free(text.data);
    }
};

// An authority, and folders with what it has signed.
class Authority {
  public:
    Authority() {
        const std::time_t now = std::time(nullptr);
        root_.fill("test authority", now - 86400, now + 86400);
        REQUIRE(::gnutls_x509_crt_set_basic_constraints(root_.handle, 1, -1) == 0);
        REQUIRE(::gnutls_x509_crt_set_key_usage(root_.handle, GNUTLS_KEY_KEY_CERT_SIGN) == 0);
        REQUIRE(::gnutls_x509_crt_sign2(root_.handle, root_.handle, root_.key.handle, GNUTLS_DIG_SHA256, 0) ==
                0);
    }
    void trust(const Folder& folder) const { root_.save(folder / "ca-cert.pem", nullptr); }
    // `side` is "client" or "server"; `age` shifts its validity, which is an hour before and after now.
    void sign(const Folder& folder, const std::string& side, const std::string& name, std::time_t age = 0,
              const char* purpose = nullptr) const {
        const std::time_t middle = std::time(nullptr) - age;
        Certificate made;
        made.fill(name, middle - 3600, middle + 3600);
        REQUIRE(::gnutls_x509_crt_set_subject_alt_name(made.handle, GNUTLS_SAN_DNSNAME, name.data(),
                                                       static_cast<unsigned>(name.size()),
                                                       GNUTLS_FSAN_SET) == 0);
        if (purpose == nullptr)
            purpose = side == "client" ? GNUTLS_KP_TLS_WWW_CLIENT : GNUTLS_KP_TLS_WWW_SERVER;
        REQUIRE(::gnutls_x509_crt_set_key_purpose_oid(made.handle, purpose, 0) == 0);
        REQUIRE(::gnutls_x509_crt_sign2(made.handle, root_.handle, root_.key.handle, GNUTLS_DIG_SHA256, 0) ==
                0);
        const fs::path secret = folder / (side + "-key.pem").c_str();
        made.save(folder / (side + "-cert.pem").c_str(), &secret);
    }

  private:
    Certificate root_;
};

TlsOptions x509(const Folder& folder, std::vector<std::string> peers = {}, std::string host = {}) {
    TlsOptions options;
    options.host = std::move(host);
    options.x509_folder = folder.text();
    options.peers = std::move(peers);
    return options;
}

TlsOptions psk(const fs::path& file, std::string identity = {}) {
    TlsOptions options;
    options.psk_file = file;
    options.identity = std::move(identity);
    return options;
}

struct Outcome {
    Result<std::unique_ptr<Channel>> client;
    Result<std::unique_ptr<Channel>> server;
    // A byte from each side to the other has come through.
    bool talk() {
        if (!client.ok() || !server.ok())
            return false;
        std::byte out{42};
        std::byte in{};
        const iovec part{&out, 1};
        return (*client)->write(std::span{&part, 1}).ok() && (*server)->read(std::span{&in, 1}).ok() &&
               (*server)->write(std::span{&part, 1}).ok() && (*client)->read(std::span{&in, 1}).ok() &&
               in == out;
    }
};

struct Sockets {
    std::unique_ptr<Channel> client;
    std::unique_ptr<Channel> server;
};

Sockets sockets() {
    int fds[2];
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    return {std::move(SocketChannel::adopt(Fd::adopt(fds[0]), "the destination")).value(),
            std::move(SocketChannel::adopt(Fd::adopt(fds[1]), "the source")).value()};
}

// Shakes hands; in TLS 1.3 a client learns with its first read that it was refused.
Outcome meet(const TlsOptions& client, const TlsOptions& server, const std::string& host = "host.example") {
    Sockets pair = sockets();
    auto client_credentials = std::move(TlsCredentials::load(client, TlsCredentials::Side::Client)).value();
    auto server_credentials = std::move(TlsCredentials::load(server, TlsCredentials::Side::Server)).value();
    Result<std::unique_ptr<Channel>> accepted = error(ErrorCode::Internal, "not yet");
    std::thread other{
        [&] { accepted = TlsChannel::start(std::move(pair.server), server_credentials, "", 5s); }};
    auto connected = TlsChannel::start(std::move(pair.client), client_credentials, host, 5s);
    other.join();
    return {std::move(connected), std::move(accepted)};
}

void check_refused(Outcome outcome, const std::string& by_server, const std::string& by_client = {}) {
    REQUIRE_FALSE(outcome.talk());
    const auto says = [](const Result<std::unique_ptr<Channel>>& side, const std::string& what) {
        REQUIRE_FALSE(side.ok());
        INFO(side.error().text);
        CHECK(side.error().text.find(what) != std::string::npos);
    };
    if (!by_server.empty())
        says(outcome.server, by_server);
    if (!by_client.empty())
        says(outcome.client, by_client);
}

} // namespace

TEST_CASE("certificates of one authority: the peers talk", "[tls]") {
    const Authority authority;
    Folder here;
    Folder there;
    authority.trust(here);
    authority.trust(there);
    authority.sign(here, "client", "source.example");
    authority.sign(there, "server", "host.example");
    REQUIRE(meet(x509(here), x509(there)).talk());
    SECTION("each may name its peer") {
        REQUIRE(
            meet(x509(here, {}, "host.example"), x509(there, {"other.example", "source.example"}), "10.0.0.1")
                .talk());
    }
    SECTION("an address without a host name needs one") {
        check_refused(meet(x509(here), x509(there), ""), "", "tls-hostname");
    }
    SECTION("a destination with another name is refused by the source") {
        check_refused(meet(x509(here), x509(there), "elsewhere.example"), "",
                      "is not for 'elsewhere.example'");
    }
    SECTION("a source with another name is refused by the destination") {
        check_refused(meet(x509(here), x509(there, {"other.example"})), "is not for 'other.example'");
    }
}

TEST_CASE("a peer whose certificate is not in order is refused", "[tls]") {
    const Authority authority;
    const Authority foreign;
    Folder here;
    Folder there;
    authority.trust(here);
    authority.trust(there);
    authority.sign(here, "client", "source.example");
    authority.sign(there, "server", "host.example");
    SECTION("source: another authority") {
        foreign.sign(here, "client", "source.example");
        check_refused(meet(x509(here), x509(there)), "not believed");
    }
    SECTION("source: expired") {
        authority.sign(here, "client", "source.example", 86400);
        check_refused(meet(x509(here), x509(there)), "expired");
    }
    SECTION("source: not valid yet") {
        authority.sign(here, "client", "source.example", -86400);
        check_refused(meet(x509(here), x509(there)), "not yet");
    }
    SECTION("source: a certificate for servers") {
        authority.sign(here, "client", "source.example", 0, GNUTLS_KP_TLS_WWW_SERVER);
        check_refused(meet(x509(here), x509(there)), "not believed");
    }
    SECTION("destination: another authority") {
        foreign.sign(there, "server", "host.example");
        check_refused(meet(x509(here), x509(there)), "", "not believed");
    }
    SECTION("destination: expired") {
        authority.sign(there, "server", "host.example", 86400);
        check_refused(meet(x509(here), x509(there)), "", "expired");
    }
}

TEST_CASE("a key that both sides have", "[tls]") {
    const Folder folder;
    write_file(folder / "keys",
               "# comment\nalice:00112233445566778899aabbccddeeff\nbob:ffeeddccbbaa99887766554433221100\n");
    write_file(folder / "wrong", "alice:10112233445566778899aabbccddeeff\n");
    write_file(folder / "stranger", "mallory:00112233445566778899aabbccddeeff\n");
    REQUIRE(meet(psk(folder / "keys"), psk(folder / "keys")).talk());
    REQUIRE(meet(psk(folder / "keys", "bob"), psk(folder / "keys")).talk());
    check_refused(meet(psk(folder / "wrong"), psk(folder / "keys")), "TLS");
    check_refused(meet(psk(folder / "stranger"), psk(folder / "keys")), "TLS");
}

TEST_CASE("a peer without TLS is refused and nothing that it sent is passed on", "[tls]") {
    const Folder folder;
    write_file(folder / "keys", "alice:00112233445566778899aabbccddeeff\n");
    const auto credentials =
        std::move(TlsCredentials::load(psk(folder / "keys"), TlsCredentials::Side::Server)).value();
    Sockets pair = sockets();
    SECTION("it speaks the protocol in the open") {
        const std::string hello = "GDWT" + std::string(60, '\1');
        const iovec part{const_cast<char*>(hello.data()), hello.size()};
        REQUIRE(pair.client->write(std::span{&part, 1}).ok());
        const auto refused = TlsChannel::start(std::move(pair.server), credentials, "", 5s);
        REQUIRE(refused.error().text.starts_with("TLS: no agreement with the source"));
    }
    SECTION("it says nothing") {
        const auto refused = TlsChannel::start(std::move(pair.server), credentials, "", 20ms);
        REQUIRE(refused.error().code == ErrorCode::Disconnected);
    }
    SECTION("it goes away") {
        pair.client.reset();
        REQUIRE_FALSE(TlsChannel::start(std::move(pair.server), credentials, "", 5s).ok());
    }
}

TEST_CASE("TLS carries large transfers, a quiet line and an orderly end", "[tls]") {
    const Folder folder;
    write_file(folder / "keys", "alice:00112233445566778899aabbccddeeff\n");
    Outcome pair = meet(psk(folder / "keys"), psk(folder / "keys"));
    REQUIRE(pair.talk());
    Channel& client = **pair.client;
    Channel& server = **pair.server;
    REQUIRE_FALSE(*client.readable(1ms));
    std::vector<std::byte> data(std::size_t{5} << 20);
    for (std::size_t i = 0; i < data.size(); ++i)
        data[i] = static_cast<std::byte>(i * 7 + i / 4096);
    std::vector<std::byte> received(data.size());
    {
        std::jthread writer{[&] {
            const iovec parts[]{{data.data(), 1000}, {data.data() + 1000, data.size() - 1000}};
            (void)server.write(parts);
        }};
        REQUIRE(*client.readable(5s));
        REQUIRE(*client.readable(0ms)); // what it has looked at stays
        REQUIRE(client.read(received).ok());
    }
    REQUIRE(received == data);
    REQUIRE(client.bytes_read() > data.size()); // what passed the socket
    server.finish_writing();
    REQUIRE(*client.readable(5s));
    std::byte byte{};
    REQUIRE(*client.read_some(std::span{&byte, 1}) == 0);
    REQUIRE(client.read(std::span{&byte, 1}).error().text == "the destination closed the connection");
}

TEST_CASE("a cut inside of TLS is not an orderly end", "[tls]") {
    const Folder folder;
    write_file(folder / "keys", "alice:00112233445566778899aabbccddeeff\n");
    Outcome pair = meet(psk(folder / "keys"), psk(folder / "keys"));
    REQUIRE(pair.talk());
    (*pair.server)->close();
    std::byte byte{};
    REQUIRE((*pair.client)->read_some(std::span{&byte, 1}).error().code == ErrorCode::Disconnected);
}

TEST_CASE("a cancel wakes a TLS read and a handshake", "[tls]") {
    const Folder folder;
    write_file(folder / "keys", "alice:00112233445566778899aabbccddeeff\n");
    const auto cancel = std::move(Cancel::create()).value();
    Outcome pair = meet(psk(folder / "keys"), psk(folder / "keys"));
    REQUIRE(pair.talk());
    (*pair.client)->set_cancel(cancel.get());
    const std::jthread canceller{[&] { cancel->request(); }};
    std::byte byte{};
    REQUIRE((*pair.client)->read(std::span{&byte, 1}).error().code == ErrorCode::Cancelled);
    Sockets silent = sockets();
    silent.server->set_cancel(cancel.get());
    const auto credentials =
        std::move(TlsCredentials::load(psk(folder / "keys"), TlsCredentials::Side::Server)).value();
    REQUIRE(TlsChannel::start(std::move(silent.server), credentials, "", 30s).error().code ==
            ErrorCode::Cancelled);
}

TEST_CASE("credentials that cannot be used say which file and why", "[tls]") {
    const Folder folder;
    const auto text = [](const TlsOptions& options, TlsCredentials::Side side) {
        return TlsCredentials::load(options, side).error().text;
    };
    const auto contains = [](const std::string& whole, const std::string& part) {
        INFO(whole);
        REQUIRE(whole.find(part) != std::string::npos);
    };
    contains(text(x509(folder), TlsCredentials::Side::Client), "ca-cert.pem': No such file");
    Authority{}.trust(folder);
    contains(text(x509(folder), TlsCredentials::Side::Server), "server-cert.pem': No such file");
    write_file(folder / "server-cert.pem", "nonsense");
    write_file(folder / "server-key.pem", "nonsense");
    contains(text(x509(folder), TlsCredentials::Side::Server), "server-key.pem'");
    write_file(folder / "short", "alice:0011\n");
    contains(text(psk(folder / "short"), TlsCredentials::Side::Client), "line 1: the key of 'alice'");
    write_file(folder / "odd", "alice\n");
    contains(text(psk(folder / "odd"), TlsCredentials::Side::Client), "line 1: IDENTITY:HEXKEY");
    write_file(folder / "empty", "\n");
    contains(text(psk(folder / "empty"), TlsCredentials::Side::Client), "has no key");
    write_file(folder / "keys", "alice:00112233445566778899aabbccddeeff\n");
    contains(text(psk(folder / "keys", "bob"), TlsCredentials::Side::Client), "has no key of 'bob'");
    fs::permissions(folder / "keys", fs::perms::owner_read | fs::perms::group_read);
    contains(text(psk(folder / "keys"), TlsCredentials::Side::Server), "others than its owner");
    TlsOptions both = psk(folder / "keys");
    both.x509_folder = folder.text();
    contains(text(both, TlsCredentials::Side::Client), "exclude each other");
}
