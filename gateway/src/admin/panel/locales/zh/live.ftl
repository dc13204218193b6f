# 实时页面：流、队列、证书、结论、时序图。
nav-overview = 概览
nav-streams = 活动流
nav-queues = 队列
nav-verdicts = 结论
nav-certificates = 证书
nav-ladder = 时序图
nav-explain = 解释
overview = 概览
attention = 需要关注
attention-none = 没有需要关注的事项。
readiness = 网关所依赖的部分
ready = 就绪
not-ready = 未就绪
numbers = 数字
edges-attached = 已连接的边缘
edge = 边缘
edge-since = 连接时间
edge-build = 版本
edge-draining = 正在退出
edge-behind = 最新配置在该处尚未生效
no-edges = 没有边缘连接：与伙伴之间无法收发任何内容。请检查链路的地址和证书。
partners-count = { $count ->
   *[other] { $count } 个伙伴
}
suspended-count = { $count ->
   *[other] 存储中有 { $count } 项与配置文件不符，已被忽略
}
partner = 伙伴
gateway = 网关
of-partner = 伙伴的域
live-start = 自动刷新
live-stop = 停止刷新
no-partner = 不是伙伴
streams = 活动流
streams-none = 没有打开的流。
streams-count = { $count ->
   *[other] { $count } 个流
}
streams-left-out = { $count ->
   *[other] 还有 { $count } 个流未显示；请按单个伙伴查询。
}
snapshot-effect = 上次配置更改关闭了 { $edge } 上的流：{ $gone } 个因为伙伴已不存在，{ $permitted } 个因为其认证方法不再被允许。
stream-state = 状态
stream-negotiating = 协商中
stream-authenticated = 已认证
stream-draining = 即将结束
stream-closing = 正在关闭
stream-in = 来自伙伴
stream-out = 发往伙伴
stream-both = 双向
stream-pairs = 域
stream-security = 安全
stream-peer = 对端
stream-passed = 流量
stream-stanzas = 收 { $in }，发 { $out }
stream-waiting = 等待 { $waiting }，未确认 { $unacknowledged }
stream-since = 开始于
stream-last = 最后一个节 { $moment }
stream-close = 关闭
stream-close-of = 关闭 { $partner } 的流
stream-close-hint = 关闭的流会在有内容要发送时重新打开。等待中的内容不会丢失。
stream-close-done = 正在关闭该流。
stream-close-no-edge = 该边缘已不再连接。
stream-close-no-stream = 该流已不存在。
stream-close-silent = 边缘未及时应答。请查看该流是否仍在。
stream-close-too-many = 正在进行的边缘查询过多。请几秒后重试。
no-tls = 无 TLS
direct-tls = 直接 TLS
answer-complete = { $edge } 已全部报告。
answer-partial = { $edge } 未能及时全部报告。
answer-silent = { $edge } 未及时应答。
answer-refused = { $edge } 拒绝报告。
certificate = 证书
certificate-names = 名称
certificate-issuer = 颁发者
certificate-ends = 有效期至
certificate-left = 剩余
certificate-purpose = 用途
certificate-seen = 见于
certificate-live = 使用中
certificate-pin = 固定指纹：
certificate-unreadable = 无法读取
certificates = 证书
certificates-own = 我方的证书
certificates-own-text = 本网关文件中的当前证书，以及边缘向伙伴出示的证书。新文件无需重启即可生效。
certificates-partners = 伙伴的证书
certificates-partners-text = 伙伴的每台服务器在流或结论中最近出示的证书。
certificates-none = 还没有伙伴出示过证书。
days-over = { $days ->
   *[other] 已过期 { $days } 天
}
queues = 队列
queues-text = 在各处等待的节。每个队列都有上限；无法及时投递的内容会带错误退回发送者。
queues-edges = 在边缘上
queues-gateway = 在本网关上
queues-links = 与边缘的链路
queues-partners = 按域
queue-empty = 没有等待的内容。
queue-for = 发往
queue-in = 网关
queue-out = 伙伴
queue-what = 等待中
queue-bound = 上限
queue-most = { $count ->
   *[other] { $count } 个节
}
queue-waiting = { $stanzas ->
    [0] 无
   *[other] { $stanzas } 个节，{ $bytes } 字节，最早的已等待 { $seconds } 秒
}
queue-unacknowledged = 未确认
queue-unfinished = 此处未完成
queue-any-edge = 直到有边缘连接
verdicts = 结论
verdicts-text = 某事为何被拒绝或失败：进行到哪一步、问题在哪一方、该怎么办。
verdicts-last = 最近的结论
verdicts-none = 没有结论。
not-a-domain = 这不是域名。请写成例如 fabrikam.example。
not-a-user = 这不是用户。请写成例如 alice@contoso.example。
probe-now = 从每个边缘探测
probe-hint = 在单独的连接上走完从 DNS 到认证的所有步骤；不影响活动流。最长需要一分钟。
probe-from = 来自 { $edge } 的探测
probe-reachable = 可达
probe-unreachable = 不可达
probe-incomplete = 未完成
step-ok = 正常
step-failed = 失败
step-skipped = 已跳过
remedy = 处理方法：
transcript = 交互内容
verdict-when = 时间
verdict-count = 自 { $first } 起 { $count } 次
verdict-where = 位置
verdict-target = 服务器
verdict-copy = 给对方运维人员的文字
direction-in = 来自伙伴
direction-out = 发往伙伴
side-theirs = 对方
side-ours = 我们的缺陷
side-network = 网络
side-operator = 我方
ladder = 时序图
ladder-text = 某个 SIP 用户与伙伴用户之间最近经过 XMPP、链路和 SIP 的内容。
local-user = SIP 用户
remote-user = 伙伴的用户
ladder-scope = 显示
ladder-everything = 全部
ladder-conversation = 消息
ladder-subscription = 状态
ladder-hidden = 人们所写的内容已隐藏，因为消息正文设置处于关闭状态。
ladder-left-out = { $count ->
   *[other] 有 { $count } 个更早的步骤未显示。
}
ladder-none = 没有保存他们之间的内容。网关只保留最近经过的内容；请让他们再试一次。
ladder-steps = 每个步骤及其文本
download-svg = 下载 SVG
download-text = 下载文本
explain = 解释
explain-text = 为什么某个 SIP 用户与伙伴的用户彼此看到的是这样。
explain-conclusion = 简而言之
explain-statements = 依据
pair-remove = 删除授权
pair-remove-hint = 终止双方彼此可见的内容，两个方向都是如此。双方可以重新请求。
pair-removed = 授权已删除。
pair-absent = 原本没有授权。
pair-failed = 暂时无法删除。请重试。
verdict-cause = 发生了什么
verdict-side = 哪一方
# 消息存档。
nav-archive = 存档
archive = 消息存档
archive-text = 已启用存档的伙伴的一对一消息。每次查看都会记入审计日志。
archive-contains = 文本包含
archive-none = 没有符合条件的内容。
archive-export = 导出
archive-next = 从旧到新：下一页
archive-kept = 已保存
archive-count = 自 { $oldest } 起 { $count ->
   *[other] { $count }
} 条消息
archive-who = 谁
archive-message = 消息
explain-policy = 谁有权限
explain-inbound = 伙伴的用户查看 SIP 用户
explain-outbound = SIP 用户查看伙伴的用户
explain-events = 最近经过的内容
explain-verdicts = 失败的内容
pair-remove-sure = 我确认。
test-im = 发送测试消息
test-im-hint = 经由真实路径从 SIP 用户向伙伴的用户发送一条短消息，并说明其结果。
test-im-delivered = 已送达伙伴
test-im-failed = 未送达
test-im-took = { $milliseconds } 毫秒
