// SPDX-License-Identifier: Apache-2.0
#include "vmm/control/json_stream.h"

namespace godwit::control {

namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}
bool opens(char c) {
    return c == '{' || c == '[';
}
bool closes(char c) {
    return c == '}' || c == ']';
}

} // namespace

std::string JsonStream::taken() {
    std::string value = received_.substr(start_, at_ - start_);
    start_ = at_;
    depth_ = 0;
    in_string_ = escaped_ = false;
    return value;
}

std::optional<std::string> JsonStream::next() {
    for (; at_ < received_.size() && !too_long(); ++at_) {
        const char c = received_[at_];
        if (in_string_) {
            if (c == '\n') {
                ++at_;
                return taken();
            }
            in_string_ = escaped_ || c != '"';
            escaped_ = !escaped_ && c == '\\';
            continue;
        }
        if (depth_ == 0 && start_ == at_ && is_blank(c)) {
            ++start_;
            continue;
        }
        if (depth_ == 0 && start_ < at_ && (is_blank(c) || opens(c) || closes(c)))
            return taken();
        if (c == '"')
            in_string_ = true;
        else if (opens(c))
            ++depth_;
        else if (closes(c) && depth_ <= 1) {
            ++at_;
            return taken();
        } else if (closes(c))
            --depth_;
    }
    received_.erase(0, start_);
    at_ -= start_;
    start_ = 0;
    return {};
}

} // namespace godwit::control
