// All of the standard library, and enough use of it that a compiler has much to think about.
#include <bits/stdc++.h>

int main() {
    std::map<std::string, std::vector<int>> words;
    words["a"].push_back(1);
    std::regex pattern("a+b");
    return std::regex_match("aab", pattern) ? words["a"][0] : 0;
}
