// SPDX-License-Identifier: Apache-2.0
//
// Who we are to a migration peer and whom we believe: an x509 certificate with the authority that signs
// peers, or a key that both sides share. The files are named as QEMU's tls-creds-x509 and tls-creds-psk name
// them. Immutable once loaded, any thread.
#pragma once

#include "vmm/base/result.h"

#include <memory>
#include <string>
#include <vector>

namespace godwit::migration {

struct TlsOptions {
    // A folder with ca-cert.pem, optionally ca-crl.pem, and {client,server}-cert.pem and -key.pem: the source
    // is the client.
    std::string x509_folder;
    // Lines IDENTITY:HEXKEY. The source's first line, or the one of `identity`, is who it says it is; a
    // receiver believes every line.
    std::string psk_file;
    std::string identity;
    // Of a receiver: names, one of which a source's certificate must have; without any, whoever the authority
    // has signed is believed.
    std::vector<std::string> peers;
    // Of a source: the name that the destination's certificate must have; otherwise that of the address.
    std::string host;

    bool operator==(const TlsOptions&) const = default;
    bool wanted() const { return !x509_folder.empty() || !psk_file.empty(); }
};

class TlsCredentials {
  public:
    enum class Side { Client, Server };
    enum class Kind { X509, Psk };

    // InvalidInput names the file and what is wrong with it.
    static Result<std::shared_ptr<const TlsCredentials>> load(const TlsOptions& options, Side side);
    ~TlsCredentials();
    TlsCredentials(const TlsCredentials&) = delete;
    TlsCredentials& operator=(const TlsCredentials&) = delete;

    Side side() const { return side_; }
    Kind kind() const { return kind_; }
    // Names of which the peer must have one.
    const std::vector<std::string>& peers() const { return peers_; }

  private:
    friend class TlsChannel;
    TlsCredentials(Side side, Kind kind, std::vector<std::string> peers)
        : side_(side), kind_(kind), peers_(std::move(peers)) {}
    Status load_x509(const std::string& folder);
    Status load_psk(const std::string& file, const std::string& identity);

    const Side side_;
    const Kind kind_;
    const std::vector<std::string> peers_;
    // gnutls_{certificate,psk_client,psk_server}_credentials_t; GnuTLS's own headers stay out of ours.
    void* handle_ = nullptr;
};

} // namespace godwit::migration
