// SPDX-License-Identifier: Apache-2.0
#include "migration/inspect/virtio_layout.h"

#include <fmt/core.h>

#include <utility>

namespace godwit::migration::inspect {

namespace {

constexpr std::size_t kQueues = 1024; // VIRTIO_QUEUE_MAX: arrays of queues have as many entries
constexpr std::size_t kPciConfig = 256, kPcieConfig = 4096;
constexpr std::uint32_t kControlGuestOffloads = 1u << 2; // VIRTIO_NET_F_CTRL_GUEST_OFFLOADS

std::uint8_t byte_at(std::span<const std::byte> bytes, std::size_t at) {
    return at < bytes.size() ? std::to_integer<std::uint8_t>(bytes[at]) : std::uint8_t{0};
}

// Number of vectors in the MSI-X capability of a configuration space; 0 without one.
std::size_t msix_vectors(std::span<const std::byte> config) {
    std::size_t at = byte_at(config, 0x34);
    for (int i = 0; at >= 0x40 && i < 48; ++i) { // a list cannot be longer
        if (byte_at(config, at) == 0x11)
            return std::size_t{(byte_at(config, at + 2) | byte_at(config, at + 3) << 8) & 0x7ffu} + 1;
        at = byte_at(config, at + 1);
    }
    return 0;
}

class Layout {
  public:
    Layout(Cursor& in, std::string_view section, std::size_t size, std::size_t config_size)
        : in_(in), end_(in.offset() + size), config_size_(config_size),
          mmio_(section.starts_with("virtio-mmio@")), device_(section.substr(section.rfind('/') + 1)) {}

    Status walk() {
        TRY(mmio_ ? mmio_config() : pci_config());
        TRY(common());
        TRY(queues());
        TRY(device());
        while (left() != 0)
            TRY(subsection());
        return {};
    }

  private:
    std::size_t left() const {
        return in_.offset() < end_ ? static_cast<std::size_t>(end_ - in_.offset()) : 0;
    }

    // Opens, walks with `body`, closes.
    template <class Body>
    Status nested(Field field, std::size_t header, Body body) {
        TRY(in_.open(std::move(field), header));
        TRY(body());
        in_.close();
        return {};
    }
    static Field structure(std::string_view name, std::string_view record, std::uint32_t version,
                           std::optional<std::size_t> index = {}) {
        Field field;
        field.name = name;
        field.type = "struct";
        field.record = record;
        field.kind = Field::Kind::Struct;
        field.version = version;
        field.index = index;
        return field;
    }
    static Field subsection_field(const SubsectionHeader& header) {
        Field field;
        field.name = header.name;
        field.type = "subsection";
        field.kind = Field::Kind::Subsection;
        field.version = header.version;
        return field;
    }

    Status pci_config() {
        std::size_t vectors = 0;
        TRY(nested(structure("pci_device", "PCIDevice", 2), 0, [&] { return pci_record(vectors); }));
        msix_ = vectors != 0;
        if (!msix_)
            return {};
        TRY(in_.bytes("msix_table", "buffer", vectors * 16));
        TRY(in_.bytes("msix_pba", "buffer", (vectors + 7) / 8));
        return one("config_vector", 2);
    }

    Status pci_record(std::size_t& vectors) {
        TRY(in_.number("version_id", 4, true));
        vectors = msix_vectors(in_.peek(config_size_));
        TRY(in_.bytes("config", "buffer", config_size_));
        for (unsigned pin = 0; pin < 4; ++pin)
            if (TRY(in_.number(fmt::format("irq_state[{}]", pin), 4)) > 1)
                return corrupt("an interrupt pin is neither 0 nor 1");
        return {};
    }

    Status mmio_config() {
        for (const char* const name : {"host_features_sel", "guest_features_sel", "guest_page_shift"})
            TRY(in_.number(name, 4));
        return {};
    }

    Status common() {
        TRY(in_.number("status", 1));
        TRY(in_.number("isr", 1));
        TRY(in_.number("queue_sel", 2));
        features_ = static_cast<std::uint32_t>(TRY(in_.number("guest_features", 4)));
        const auto length = TRY(in_.number("config_len", 4));
        return in_.bytes("config", "buffer", length);
    }

    Status queues() {
        queues_ = TRY(in_.number("nq", 4));
        if (queues_ > kQueues)
            return corrupt("{} queues", queues_);
        for (std::size_t i = 0; i < queues_; ++i)
            TRY(nested(structure("vq", "virtqueue", 1, i), 0, [this] { return queue(); }));
        return {};
    }

    Status queue() {
        TRY(one("num", 4));
        if (mmio_)
            TRY(one("align", 4));
        TRY(one("desc", 8));
        TRY(one("last_avail_idx", 2));
        return msix_ ? one("vector", 2) : Status{};
    }

    Status device() {
        if (device_ == "virtio-net")
            return nested(structure("device", "virtio-net-device", 11), 0, [&] { return net(); });
        // Requests that were stopped have a layout of their own: then the device is not looked into.
        if (device_ == "virtio-blk" && byte_at(in_.peek(1), 0) == 0) {
            TRY(in_.number("requests", 1));
            return {};
        }
        return device_ == "virtio-rng" ? Status{} : in_.bytes("device", "buffer", until_subsection());
    }

    Status net() {
        TRY(in_.bytes("mac", "buffer", 6));
        TRY(in_.number("tx_waiting", 4));
        TRY(in_.number("mergeable_rx_bufs", 4));
        TRY(in_.number("status", 2));
        TRY(in_.number("promisc", 1));
        TRY(in_.number("allmulti", 1));
        const auto in_use = TRY(in_.number("mac_table.in_use", 4));
        TRY(in_.bytes("mac_table.macs", "buffer", in_use * 6));
        TRY(in_.bytes("vlans", "buffer", 512));
        TRY(in_.number("has_vnet_hdr", 4));
        for (const char* const name : {"mac_table.multi_overflow", "mac_table.uni_overflow", "alluni",
                                       "nomulti", "nouni", "nobcast", "has_ufo"})
            TRY(in_.number(name, 1));
        // How many pairs there can be is not in the stream: more than one when there are queues for it.
        if (queues_ > 3) {
            TRY(in_.number("max_queue_pairs", 2));
            const auto pairs = TRY(in_.number("curr_queue_pairs", 2));
            for (std::size_t i = 1; i < pairs; ++i)
                TRY(in_.number(fmt::format("tx_waiting[{}]", i), 4));
        }
        if ((features_ & kControlGuestOffloads) != 0)
            TRY(in_.number("curr_guest_offloads", 8));
        return {};
    }

    // Bytes up to the next subsection of the core, or to the end.
    std::size_t until_subsection() const {
        constexpr std::string_view kPrefix = "virtio/";
        const auto rest = in_.peek(left());
        for (std::size_t at = 0; at + 2 + kPrefix.size() <= rest.size(); ++at)
            if (byte_at(rest, at) == 5 && byte_at(rest, at + 1) > kPrefix.size() &&
                std::memcmp(rest.data() + at + 2, kPrefix.data(), kPrefix.size()) == 0)
                return at;
        return rest.size();
    }

    Status subsection() {
        const auto header = subsection_at(in_);
        if (!header.has_value() || !header->name.starts_with("virtio/"))
            return corrupt("no subsection at byte {}", in_.offset());
        return nested(subsection_field(*header), header->size,
                      [&] { return subsection_body(std::string_view{header->name}.substr(7)); });
    }

    Status subsection_body(std::string_view name) {
        if (name == "64bit_features")
            return one("guest_features", 8);
        if (name == "device_endian")
            return one("device_endian", 1);
        if (name == "broken" || name == "started" || name == "disabled")
            return in_.boolean(name);
        if (name == "ringsize")
            return in_.numbers("num_default", "uint32", 4, false, kQueues);
        if (name == "virtqueues") {
            for (std::size_t i = 0; i < queues_; ++i)
                TRY(nested(structure("vq", "virtqueue_state", 1, i), 0, [this] { return rings(); }));
            return in_.bytes("no_queues", "buffer", (kQueues - queues_) * 16);
        }
        if (name == "packed_virtqueues") {
            for (std::size_t i = 0; i < kQueues; ++i)
                TRY(nested(structure("vq", "packed_virtqueue_state", 1, i), 0, [this] { return packed(); }));
            return {};
        }
        if (name == "extra_state")
            return nested(structure("extra_state", mmio_ ? "virtio_mmio" : "virtio_pci", 1), 0,
                          [&] { return extra_state(); });
        return in_.bytes("data", "buffer", until_subsection());
    }

    Status rings() {
        TRY(one("avail", 8));
        return one("used", 8);
    }

    Status packed() {
        TRY(one("last_avail_idx", 2));
        TRY(in_.boolean("last_avail_wrap_counter"));
        TRY(one("used_idx", 2));
        TRY(in_.boolean("used_wrap_counter"));
        return one("inuse", 4);
    }

    Status extra_state() {
        const auto header = subsection_at(in_);
        if (!header.has_value() || header->name.starts_with("virtio/"))
            return {};
        if (header->name != "virtio_pci/modern_state" && header->name != "virtio_mmio/state")
            return corrupt("unknown extra state");
        return nested(subsection_field(*header), header->size, [this] { return registers(); });
    }

    Status registers() {
        if (!mmio_) {
            TRY(one("dfselect", 4));
            TRY(one("gfselect", 4));
        }
        TRY(one("guest_features[0]", 4));
        TRY(one("guest_features[1]", 4));
        for (std::size_t i = 0; i < queues_; ++i)
            TRY(nested(structure("vqs", "virtio_pci/modern_queue_state", 1, i), 0,
                       [this] { return queue_registers(); }));
        const std::size_t entry = mmio_ ? 27 : 28;
        return in_.bytes("no_queues", "buffer", (kQueues - queues_) * entry);
    }

    Status queue_registers() {
        TRY(one("num", 2));
        if (!mmio_)
            TRY(in_.bytes("unused", "unused_buffer", 1));
        TRY(in_.boolean("enabled"));
        for (const char* const name : {"desc", "avail", "used"})
            TRY(in_.numbers(name, "uint32", 4, false, 2));
        return {};
    }

    Status one(std::string_view name, unsigned width) {
        TRY(in_.number(name, width));
        return {};
    }

    Cursor& in_;
    std::uint64_t end_;
    std::size_t config_size_;
    bool mmio_;
    std::string_view device_;
    bool msix_ = false;
    std::uint32_t features_ = 0;
    std::uint64_t queues_ = 0;
};

} // namespace

Status walk_virtio(Cursor& in, std::string_view section, std::size_t size) {
    // A function behind a PCIe port has the larger configuration space, and nothing else says so.
    const auto body = in.peek(size);
    if (body.size() != size)
        return corrupt("{} bytes, {} are left", size, in.remaining());
    std::size_t budget = kMaxFields;
    Cursor trial{body, in.offset(), budget};
    const bool conventional = Layout{trial, section, size, kPciConfig}.walk().ok() && trial.remaining() == 0;
    const std::uint64_t end = in.offset() + size;
    TRY(Layout(in, section, size, conventional ? kPciConfig : kPcieConfig).walk());
    if (in.offset() != end)
        return corrupt("the layout ends at byte {}, not at {}", in.offset(), end);
    return {};
}

} // namespace godwit::migration::inspect
