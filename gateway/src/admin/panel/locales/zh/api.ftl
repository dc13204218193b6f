# Why the interface for programs did not do what it was asked: titles and sentences of problem documents.
problem-invalid-title = 文档有错误
problem-invalid = { $count ->
   *[other] 有 { $count } 个键不符合要求。没有任何更改；“faults”说明应如何填写。
}
problem-absent-title = 没有这个对象
problem-absent = 没有“{ $object }”。
problem-exists-title = 已经存在
problem-exists = “{ $object }”已经存在。请修改它，或者换一个名称。
problem-declared-title = 由配置文件声明
problem-declared = “{ $object }”在 gateway.toml 中声明，只能在那里修改。没有任何更改。
problem-stale-title = 别人抢先了一步
problem-stale = 在您读取之后，{ $by } 修改了“{ $object }”。没有任何更改；请重新读取。
problem-contended-title = 其他人正在修改
problem-contended = 其他人一直在修改配置。没有任何更改；请重试。
problem-store-title = 存储没有响应
problem-store = { $reason }。没有任何更改。
problem-too-much-title = 超出可存储的量
problem-too-much = { $reason }。没有任何更改。
problem-not-in-force-title = 已保存，但未生效
problem-not-in-force = 更改已保存，但网关尚未按它工作：{ $reason }
problem-parameter-title = 参数不符合要求
problem-parameter = { $name }：{ $reason }
problem-media-type-title = 需要另一种内容类型
problem-media-type = 请以 { $wanted } 发送正文。
problem-json-title = 正文不是 JSON 对象
problem-json = 第 { $line } 行，第 { $column } 列：{ $reason }
problem-too-large-title = 正文过大
problem-too-large = 正文最多 { $limit } 字节。
problem-version-needed-title = 缺少版本
problem-version-needed = 请先读取，再把它的 ETag 作为 If-Match 发送，以免撤销别人的更改。If-Match: * 可更改任何版本。
problem-conflict-title = 目前状态下无法完成
problem-conflict = { $reason }
problem-silent-title = 网关没有响应
problem-silent = { $reason }
problem-elsewhere-title = 另一部分没有完成
problem-elsewhere = { $reason }
problem-busy-here-title = 同时进行的过多
problem-busy-here = 正在进行的已达到同时服务的上限。请等其中一个结束后再试。
# What an operator should look at.
attention-no-edge = 没有边缘节点连接，因此与合作伙伴之间无法收发（{ $reason }）。请检查边缘节点的地址、证书和防火墙：causeway check。
attention-no-sip = 没有已知的 SIP 下一跳（{ $reason }）。请检查 sip.next_hops 和 DNS：causeway check。
attention-no-store = 存储无法工作：{ $reason }。请查看网关日志和磁盘空间。
attention-suspended = “{ $what }”与目前的 gateway.toml 不符，未生效：{ $reason }
attention-edges-missing = 已配置 { $configured } 个边缘节点，只有 { $attached } 个已连接。请检查其余节点的地址、证书和防火墙。
attention-edge-behind = 边缘节点 { $edge } 尚未按最新配置工作。请查看它的日志。
attention-certificate-over = { $role } 的证书已过期。请更换；无需重启。
attention-certificate-ending = { $days ->
   *[other] { $role } 的证书将在 { $days } 天后过期。请更换；无需重启。
}
attention-certificate-unreadable = 无法读取 { $role } 的证书：{ $reason }
attention-partner-failures = { $partner }：{ $cause }
attention-bodies-shown = 消息正文正在显示并写入日志。不再需要时请关闭 EnableLoggingAllMessageBodies。
attention-no-partner = 没有合作伙伴，因此所有 XMPP 域都会被拒绝。请允许一个。
attention-nobody-may = 没有用户可以访问 XMPP 合作伙伴。请在外部访问策略中指定谁可以。
attention-no-account = 还没有帐户。请用网关日志中的链接创建第一个。
