using System.Security.Cryptography;
using System.Text;

namespace LlmGateway.Gateway.Operations;

/// <summary>The secret that opens the management listener. Kept in a file that only its owner can read.</summary>
internal sealed class ManagementToken
{
    private readonly byte[] _hash;

    private ManagementToken(string secret, string path) => (_hash, Path) = (Hash(secret), path);

    public string Path { get; }

    /// <summary>Reads the file, or makes it with a new token and mode 0600.</summary>
    /// <exception cref="IOException">The file can't be read or made, or is empty.</exception>
    public static ManagementToken LoadOrCreate(string path)
    {
        path = System.IO.Path.GetFullPath(path);
        if (!File.Exists(path))
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(path)!);
            var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
            if (!OperatingSystem.IsWindows())
            {
                options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
            }

            using var file = new FileStream(path, options);
            file.Write(Encoding.ASCII.GetBytes(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(32)) + "\n"));
        }

        var secret = File.ReadAllText(path).Trim();
        return secret.Length >= 16
            ? new ManagementToken(secret, path)
            : throw new IOException($"{path} holds no token of at least 16 characters: delete it, and the gateway makes a new one");
    }

    /// <summary>True for <c>Authorization: Bearer</c> with the token.</summary>
    public bool Accepts(string authorization)
    {
        const string Bearer = "Bearer ";
        return authorization.StartsWith(Bearer, StringComparison.OrdinalIgnoreCase) && Is(authorization[Bearer.Length..].Trim());
    }

    /// <summary>True for the token itself.</summary>
    public bool Is(string secret) => CryptographicOperations.FixedTimeEquals(Hash(secret), _hash);

    /// <summary>A key for another purpose that changes with the token and tells nothing of it.</summary>
    public byte[] DeriveKey(string purpose) => HMACSHA256.HashData(_hash, Encoding.UTF8.GetBytes(purpose));

    // Hashes have one length, so the comparison tells nothing of the secret's.
    private static byte[] Hash(string secret) => SHA256.HashData(Encoding.UTF8.GetBytes(secret));
}
