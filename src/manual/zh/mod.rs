//! 中文手册：商城最常用的章节。其余章节见英文手册。

chapters! {
    "zh/", "
[concepts]: crate::manual::_01_concepts
[create_payment]: crate::manual::zh::_01_create_payment
[client]: crate::manual::zh::_02_client
[same_number]: crate::manual::_04_same_number
[query_payment]: crate::manual::_05_query_payment
[errors]: crate::manual::zh::_03_errors
[pricing]: crate::manual::_07_pricing
[notifications]: crate::manual::_08_notifications
[events]: crate::manual::zh::_04_events
[admin]: crate::manual::_10_admin
[simulated_providers]: crate::manual::_11_simulated_providers
[going_live]: crate::manual::zh::_05_going_live
[operations]: crate::manual::_13_operations
[log]: crate::manual::_14_log
[configuration]: crate::manual::_15_configuration
[layer_and_library]: crate::manual::_16_layer_and_library
[from_vk_uni_pay]: crate::manual::zh::_06_from_vk_uni_pay
[architecture]: crate::manual::_18_architecture
[testing]: crate::manual::_19_testing
",
    _01_create_payment "create_payment"
        "createPayment：请求与应答、参数、支付方式"
    _02_client "client"
        "客户端如何使用 orderInfo（各平台）"
    _03_errors "errors"
        "全部错误码、HTTP 状态码与资金含义"
    _04_events "events"
        "paygate 发给商城的事件：webhook、签名、全部类型"
    _05_going_live "going_live"
        "上线前的准备"
    _06_from_vk_uni_pay "from_vk_uni_pay"
        "从 vk-uni-pay 迁移"
}
